"""How `benchmarks.demo_harm` asks, judges and counts its arms; used here as they are.

They are private there, and renaming them would make that benchmark's committed result one of other code.
"""

from __future__ import annotations

from benchmarks.demo_arms import _interval as interval_figures
from benchmarks.demo_harm import _figures as arm_figures
from benchmarks.demo_harm import _judge as judge_arms
from benchmarks.demo_harm import _replies as ask_arms

__all__ = ["arm_figures", "ask_arms", "interval_figures", "judge_arms"]
