"""Figures for CloudWatch, and the alarms over them where topics for those are given.

A cluster that is dead sends no notices; CloudWatch notices that its figures don't come. That is what the two
alarms are for, and why missing figures count as bad in them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agent.aws import AwsSession
from agent.aws.errors import AwsError
from agent.config.notify import CloudWatchParameters
from agent.notify.contract import NotSent

BAD_PERIODS = 3  # in a row are an alarm: one put may get lost
DATA_PER_CALL = 1_000  # PutMetricData takes no more


@dataclass(frozen=True)
class Figures:
    """What a node sees at one moment."""

    nodes_alive: int  # this one among them
    in_service: Mapping[str, bool]  # hierarchy -> all of it runs here


class CloudWatch:
    """Puts one node's figures."""

    def __init__(self, parameters: CloudWatchParameters, cluster: str, node: str, aws: AwsSession) -> None:
        self._parameters, self._cluster, self._node, self._aws = parameters, cluster, node, aws

    async def warm_up(self) -> None:
        """Load the client."""
        with suppress(AwsError):
            await self._aws.load("cloudwatch")

    async def put(self, notices: int, figures: Figures | None = None) -> None:
        """Put what there is, and how many notices there were since the last put; raises NotSent."""
        data = list(self._data(notices, figures))
        for first in range(0, len(data), DATA_PER_CALL):
            await self._call(
                "put_metric_data",
                Namespace=self._parameters.namespace,
                MetricData=data[first : first + DATA_PER_CALL],
            )

    async def put_alarms(self, hierarchies: Iterable[str]) -> None:
        """Make the alarms, or make them what they should be; their state stays. Raises NotSent."""
        if not self._parameters.alarm_topics:
            return
        await self._put_alarm(
            f"{self._node} is silent",
            "NodesAlive",
            "SampleCount",
            {"Cluster": self._cluster, "Node": self._node},
        )
        for hierarchy in hierarchies:
            dimensions = {"Cluster": self._cluster, "Hierarchy": hierarchy}
            await self._put_alarm(f"{hierarchy} is not in service", "InService", "Maximum", dimensions)

    async def _put_alarm(self, what: str, metric: str, statistic: str, dimensions: Mapping[str, str]) -> None:
        """One that goes off when the statistic is below 1, or there is none."""
        minutes = -(-self._parameters.interval_ms // 60_000)
        topics = list(self._parameters.alarm_topics)
        await self._call(
            "put_metric_alarm",
            AlarmName=f"{alarm_prefix(self._cluster)}{what}",
            AlarmDescription=f"Kept by kagemusha on {self._node}: its next start undoes changes made here.",
            Namespace=self._parameters.namespace,
            MetricName=metric,
            Dimensions=_dimensions(dimensions),
            Statistic=statistic,
            Period=60 * minutes,
            EvaluationPeriods=BAD_PERIODS,
            Threshold=1.0,
            ComparisonOperator="LessThanThreshold",
            TreatMissingData="breaching",
            AlarmActions=topics,
            OKActions=topics,
        )

    def _data(self, notices: int, figures: Figures | None) -> Iterator[dict[str, Any]]:
        here = {"Cluster": self._cluster, "Node": self._node}
        yield _datum("Notices", notices, here)
        if figures is not None:
            yield _datum("NodesAlive", figures.nodes_alive, here)
            for hierarchy, yes in figures.in_service.items():
                yield _datum("InService", int(yes), {"Cluster": self._cluster, "Hierarchy": hierarchy})

    async def _call(self, operation: str, **parameters: Any) -> None:
        try:
            await self._aws.call("cloudwatch", operation, **parameters)
        except AwsError as error:
            raise NotSent(f"CloudWatch: {error}") from error


def alarm_prefix(cluster: str) -> str:
    """What the names of a cluster's alarms begin with."""
    return f"kagemusha {cluster}: "


def _datum(name: str, value: int, dimensions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Value": float(value),
        "Unit": "Count",
        "Timestamp": time.time(),
        "Dimensions": _dimensions(dimensions),
    }


def _dimensions(dimensions: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]
