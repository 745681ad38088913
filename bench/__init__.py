"""The instrument: this server, what people write today and a raw relay, side by side in one run."""
