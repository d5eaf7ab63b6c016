"""From ticks to signals: model backends, the tick pipeline, the predictor and its feed."""
