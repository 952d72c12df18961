"""What a run is, keeps and tells: its folder, its record, its log, its health; the bottom of this house."""
