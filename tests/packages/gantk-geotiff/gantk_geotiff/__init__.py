"""GeoTIFF for gantk."""
