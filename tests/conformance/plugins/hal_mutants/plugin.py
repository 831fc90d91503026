"""The plugin as the registry sees it; what is broken is imported when it is asked for."""

from hal.hookspecs import hookimpl

HAL_PLUGIN_API = "1.0"
FAMILY = "mutants"


def mutants():
    """Name of the device -> `catalogue.Mutant`."""
    from hal_mutants import catalogue

    return catalogue.mutants()


@hookimpl
def hal_devices():
    return [mutant.spec for mutant in mutants().values()]


@hookimpl
def hal_mapper(spec, profile):
    return mutants()[spec.name].mapper(spec, profile)


@hookimpl
def hal_open(spec, kind, serial, profile, seed, options):
    made = mutants()[spec.name].device
    return made(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)


@hookimpl
def hal_export(spec, mapping):
    return mutants()[spec.name].fault.export(mapping)


@hookimpl
def hal_import(spec, path):
    return mutants()[spec.name].fault.read(spec, path)


@hookimpl
def hal_conformance(spec):
    return mutants()[spec.name].evidence()
