"""A load balancer's target groups; see README.md beside this file."""

from recovery_kits.target_group.kit import TargetGroupKit, TargetGroupParameters

__all__ = ["TargetGroupKit", "TargetGroupParameters"]
