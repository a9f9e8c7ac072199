"""Metrics: how good outputs are against labels, and how far two models' outputs are apart."""
