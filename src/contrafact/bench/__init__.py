"""The one place that joins data, generators, methods and metrics: scoring runs, controls, tables of papers."""
