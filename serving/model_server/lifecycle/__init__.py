"""How versions of models come, serve and leave: found, loaded, checked, labelled, drained."""
