"""The news agent: stories, and what they mean for which asset."""
