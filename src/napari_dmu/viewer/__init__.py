"""Everything that knows napari or Qt, and nothing else."""
