"""An answer to a load balancer's health check; see README.md beside this file."""

from recovery_kits.lb_health.kit import LbHealthKit, LbHealthParameters

__all__ = ["LbHealthKit", "LbHealthParameters"]
