"""The clients for an asyncio loop."""
