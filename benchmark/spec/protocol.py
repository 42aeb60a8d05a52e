"""The protocols of tables/protocols/, as settings that know their lines."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.config.bases import layer_at
from benchmark.config.folders import shown, spec_file, tables_roots
from benchmark.config.overrides import Layer, Setting, stacked
from benchmark.config.parse import parse_as
from benchmark.config.run import RunConfig
from benchmark.config.source import Problem, SpecError, did_you_mean, read_yaml
from benchmark.spec.files import protocol_names
from benchmark.spec.table import Protocol


@dataclass(frozen=True)
class ProtocolLayers:
    """A protocol and its settings.

    Attributes:
        of_all: Its `set`, for every row.
        of_network: What it has under `models` for the rows of a network, by the network's name.
        of_family: What it has under `recipes` for the rows of a family, by the family's name.
        factors: Of `spatial` sizes and of channel counts (`width`).
    """

    protocol: Protocol
    of_all: Layer
    of_network: dict[str, Layer]
    of_family: dict[str, Layer]
    factors: dict[str, Setting]

    def layer(self, config: RunConfig) -> Layer:
        """Its settings for the rows of a network, which is that of a run at paper scale."""
        of_network = self.of_network.get(config.model.name, {})
        return stacked(self.of_all, of_network, self.of_family.get(self.protocol.family_of(config), {}))


def load_protocol(name: str) -> ProtocolLayers:
    """A protocol by the name of its file.

    Raises:
        SpecError: there is no such protocol, or its file has errors.
    """
    path = spec_file(f"protocols/{name}.yaml")
    if not path.exists():
        where = shown(tables_roots()[0] / "protocols")
        raise SpecError([Problem(where, 0, f"no protocol '{name}'.{did_you_mean(name, protocol_names())}")])
    source = read_yaml(path, shown(path))
    protocol, problems = parse_as(Protocol, source, extra={"name": name})
    if protocol is None or problems:
        raise SpecError(problems)
    of_network = {network: layer_at(source, values, ("models", network)) for network, values in protocol.models.items()}
    of_family = {family: layer_at(source, values, ("recipes", family)) for family, values in protocol.recipes.items()}
    factors = {kind: Setting(getattr(protocol, kind), source.file, source.line(kind)) for kind in ("spatial", "width")}
    return ProtocolLayers(protocol, layer_at(source, protocol.set, ("set",)), of_network, of_family, factors)
