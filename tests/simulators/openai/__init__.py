"""OpenAI as its clients see it: chat and legacy completions, embeddings, models, the vendor's errors.

Source of the shapes: the API reference at platform.openai.com and the answers that openai-python 3.52 models.
"""

from simulators.openai.app import OpenAISimulator

__all__ = ["OpenAISimulator"]
