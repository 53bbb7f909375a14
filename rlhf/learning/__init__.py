"""The learning itself: SFT, reward models, sampling, best-of-N and PPO, from a folder to a folder.

No Django, no Celery, no database. `python -m rlhf.learning KIND FOLDER` runs any stage by hand.
"""
