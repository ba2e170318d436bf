"""Maps: probability, landslides, a STAC item, a picture and a report of an event."""
