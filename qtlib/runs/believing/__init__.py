"""Who believes in a session, and who trains beside it: champion, registry, triggers, the process of a retrain."""
