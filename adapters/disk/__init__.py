"""Artifacts in a folder: no database, and no more of a file in memory than one part of it."""

from __future__ import annotations

from adapters.disk.artifacts import DiskArtifacts, open_artifacts

__all__ = ["DiskArtifacts", "open_artifacts"]
