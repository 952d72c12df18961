"""A retrain: what there is to learn from, what was learned, how it was judged, what it leaves."""
