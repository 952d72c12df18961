"""What needs a person is sent to where they are."""
