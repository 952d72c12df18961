"""What holds for every test: a law has no deadline, as a busy machine is no broken law."""

from hypothesis import settings

settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")
