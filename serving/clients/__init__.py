"""What a consumer needs: the hub client and the feed client. Imports nothing else of serving."""
