"""The shipped parameter files against the papers, and what a wrong file is told."""

import re
import tomllib
from pathlib import Path

import pytest

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.parameters import parameter_file, parameter_folder, parameter_names
from dipolar_md.units import DEBYE

DIPOLE_UNKNOWN = {"ag44", "au44"}  # charged controls: a dipole must be given


def load_any_cluster(name):
    known = not DIPOLE_UNKNOWN & {Path(name).stem}
    return dm.load_cluster(name, None if known else 20.0)


LOADERS = {
    "clusters": load_any_cluster,
    "solvents": dm.load_solvent,
    "recipes": dm.load_recipe,
    "references": dm.load_reference,
    "studies": dm.load_study,
    "microscopes": dm.load_microscope,
}
SHIPPED = [(kind, name) for kind in LOADERS for name in parameter_names(kind)]
STATED = {"net_charge_e", "temperature_K"}  # a sum of oxidation states; where solvents are given
NUMERICAL = {"n_clusters", "seed", "frame_interval_ns", "chunk_steps"}  # no physics


def content(kind, name):
    return tomllib.loads(parameter_file(kind, name).read_text(encoding="utf-8"))


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def test_every_file_of_the_folder_is_known():
    found = {(p.parent.name, p.stem) for p in parameter_folder().rglob("*") if p.is_file()}
    assert found == set(SHIPPED)
    assert {kind for kind, _ in SHIPPED} == set(LOADERS)


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_shipped_file_loads_by_name_and_by_path(kind, name):
    loaded = LOADERS[kind](name)
    assert loaded.name == name
    path = parameter_file(kind, name)
    assert LOADERS[kind](path) == LOADERS[kind](str(path)) == loaded
    with pytest.raises(ValueError, match="frozen"):
        loaded.name = "other"


@pytest.mark.parametrize(("kind", "name"), [s for s in SHIPPED if s[0] in ("clusters", "solvents")])
def test_every_number_of_a_cluster_or_solvent_has_a_source(kind, name):
    entries = content(kind, name)
    janus = entries.pop("janus", {})
    assert isinstance(janus.pop("beads_per_ring", 3), int)
    for key, entry in (entries | janus).items():
        if isinstance(entry, dict):
            assert is_number(entry["value"]), key
            assert entry["source"] == "definition" or len(entry["source"].split()) >= 5, key
            if entry["status"] == "published" and entry["source"] != "definition":
                assert re.search(r"doi|http|Handbook|Phys\. Chem", entry["source"]), key
        elif is_number(entry):
            assert key in STATED, key


@pytest.mark.parametrize("name", parameter_names("microscopes"))
def test_every_number_of_a_microscope_has_a_source(name):
    tables = [content("microscopes", name)]
    numbers = []
    while tables:
        for key, entry in tables.pop().items():
            if isinstance(entry, dict) and "value" in entry:
                numbers.append((key, entry))
            elif isinstance(entry, dict):
                tables.append(entry)
    assert len(numbers) >= 13
    for key, entry in numbers:
        assert is_number(entry["value"]), key
        assert len(entry["source"].split()) >= 3, key
        elements = key == "atomic_number"
        if entry["status"] == "published" and not elements:
            assert "http" in entry["source"], key
        if entry["status"] == "estimated":
            assert re.search("Assumption|Estimate|estimate|Cc ΔE|theoretical", entry["source"]), key


@pytest.mark.parametrize("name", sorted(DIPOLE_UNKNOWN))
def test_an_unknown_dipole_is_demanded_and_never_assumed(name, tmp_path):
    assert "dipole_D" not in content("clusters", name)
    with pytest.raises(InputError, match=rf"{name}.toml: key 'dipole_D' is missing: .*Give one"):
        dm.load_cluster(name)
    for debye in (5.0, 40.0):
        given = dm.load_cluster(name, debye)
        assert (given.dipole_D.value, given.dipole_D.status) == (debye, "estimated")
    with pytest.raises(InputError, match=r"dipole_D.value.*greater than 0 \(found -5.0\)"):
        dm.load_cluster(name, -5.0)
    with pytest.raises(UnsupportedError, match=r"carries -\d e"):
        dm.coarse_grain(dm.load_cluster(name, 20.0))
    text = parameter_file("recipes", "r-au-cu").read_text(encoding="utf-8")
    (tmp_path / "r.toml").write_text(text.replace('"r-au-cu"', f'"{name}"'), encoding="utf-8")
    with pytest.raises(InputError, match=r"components.0.cluster.*'dipole_D' is missing"):
        dm.load_recipe(tmp_path / "r.toml")


def test_a_known_dipole_is_not_replaced_on_loading():
    """The steric size belongs to a cluster's own dipole; scans keep it."""
    with pytest.raises(InputError, match=r"r-au-cu.toml: it has a dipole of its own.*--set dipole"):
        dm.load_cluster("r-au-cu", 30.0)


@pytest.mark.parametrize("name", parameter_names("recipes"))
def test_every_number_of_a_recipe_has_a_source(name):
    recipe = content("recipes", name)
    physical = {key for key, value in recipe.items() if is_number(value)} - NUMERICAL
    assert physical == set(recipe["sources"])
    texts = [*recipe["sources"].values(), *(stage["source"] for stage in recipe["stages"])]
    assert all(len(text.split()) >= 2 for text in texts)


@pytest.mark.parametrize("name", parameter_names("references"))
def test_every_number_of_a_reference_has_a_source(name):
    reference = dm.load_reference(name)
    assert "10.1021/acscentsci.2c00754" in reference.source
    assert all(len(quantity.source.split()) >= 5 for quantity in reference.quantities)
    assert set(reference.clusters) <= set(parameter_names("clusters"))


@pytest.mark.parametrize(
    ("name", "mass", "debye", "charge", "separation", "handedness"),
    [
        ("r-au-cu", 4118, 43.42, 2, 0.452, "R"),
        ("s-au-cu", 4118, 43.42, 2, 0.452, "S"),
        ("r-1", 3824, 44.6, 2, 0.464, "R"),
        ("s-1", 3824, 44.6, 2, 0.464, "S"),
        ("au3cd", 2032, 21.85, 1, 0.455, "racemic"),
    ],
)
def test_clusters_are_those_of_the_paper(name, mass, debye, charge, separation, handedness):
    cluster = dm.load_cluster(name)
    assert cluster.mass_Da == pytest.approx(mass, abs=1)
    assert cluster.dipole_D.value == debye
    assert cluster.dipole_e_nm == pytest.approx(debye * DEBYE, rel=1e-15)
    assert cluster.hemisphere_charge_e.value == charge
    assert cluster.net_charge_e == 0
    assert cluster.handedness == handedness
    distance = theory.charge_separation(cluster.dipole_e_nm, charge)
    assert distance == pytest.approx(separation, abs=0.0005)
    assert cluster.dipole_D.status == "published"


def test_axial_contact_of_r_au_cu_follows_from_the_published_energy():
    cluster = dm.load_cluster("r-au-cu")
    contact = cluster.axial_contact_nm
    energy = -theory.head_to_tail_energy(cluster.dipole_e_nm, contact.value)
    assert energy == pytest.approx(37.54, abs=0.02)  # 0.0005 nm of rounding are 0.03 kJ/mol
    assert contact.status == "calibrated"
    assert cluster.hydrodynamic_radius_nm.value == pytest.approx(contact.value / 2, rel=1e-12)
    assert cluster.alternative_axial_contact_nm.value == 1.61


@pytest.mark.parametrize(("right", "left"), [("r-au-cu", "s-au-cu"), ("r-1", "s-1")])
def test_mirror_images_share_every_number(right, left):
    one, two = content("clusters", right), content("clusters", left)
    assert (one.pop("handedness"), two.pop("handedness")) == ("R", "S")
    for table in (one, two):
        for key in ("name", "title"):
            table.pop(key)
        for entry in [*table.values(), *table["janus"].values()]:
            if isinstance(entry, dict):
                entry.pop("source", None)
    assert one == two


@pytest.mark.parametrize("name", ["r-1", "s-1", "au3cd"])
@pytest.mark.parametrize(
    "key", ["axial_contact_nm", "lateral_contact_nm", "hydrodynamic_radius_nm"]
)
def test_unpublished_sizes_scale_with_the_cube_root_of_the_mass(name, key):
    known, cluster = dm.load_cluster("r-au-cu"), dm.load_cluster(name)
    expected = getattr(known, key).value * (cluster.mass_Da / known.mass_Da) ** (1 / 3)
    assert getattr(cluster, key).value == pytest.approx(expected, abs=0.0005)
    assert getattr(cluster, key).status == "estimated"


@pytest.mark.parametrize(
    ("name", "permittivity", "viscosity"),
    [
        ("vacuum", 1, None),
        ("toluene", 2.374, 0.554),
        ("chloroform", 4.711, 0.538),
        ("dichloromethane", 8.93, 0.413),
        ("dmf", 37.22, 0.80),
        ("dmac", 37.78, 0.93),
        ("dmso", 46.83, 1.985),
        ("water", 78.36, 0.890),
    ],
)
def test_solvents(name, permittivity, viscosity):
    solvent = dm.load_solvent(name)
    assert solvent.temperature_K == 298.15
    assert solvent.relative_permittivity.value == permittivity
    found = solvent.viscosity_mPa_s
    assert (found and found.value) == viscosity


def test_references_are_those_of_the_paper():
    tem, crystal = dm.load_reference("tem-r-au-cu"), dm.load_reference("crystal-r-au-cu")
    ranges = {q.quantity: (q.low, q.high, q.value) for r in (tem, crystal) for q in r.quantities}
    assert ranges | {"spacing_nm": None} == {
        "spacing_nm": None,
        "contour_length_nm": (1000, None, None),
        "core_diameter_nm": (0.82, 1.17, None),
        "lateral_spacing_nm": (None, None, 2.68),
    }
    assert str(tem.quantity("spacing_nm")) == "1.8–2.5 nm"
    assert crystal.quantity("spacing_nm").value == 1.61


# --- Wrong names and files ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        (
            "clusters",
            "r-au-cuu",
            ["unknown cluster 'r-au-cuu'", "did you mean r-au-cu or s-au-cu?"],
        ),
        ("clusters", "R-AU-CU", ["did you mean r-au-cu"]),
        ("clusters", "zzz", ["unknown cluster 'zzz': known: ag44, au3cd, au44, r-1, r-au-cu"]),
        ("clusters", "", ["unknown cluster ''"]),
        ("solvents", "dichlormethan", ["unknown solvent", "did you mean dichloromethane"]),
        ("recipes", "racemat-au-cu", ["unknown recipe", "did you mean racemate-au-cu"]),
        ("references", "tem", ["unknown reference 'tem'", "tem-r-au-cu"]),
        ("clusters", "no/where.toml", ["no/where.toml: no such file (cluster expected)"]),
        ("recipes", "nowhere.toml", ["nowhere.toml: no such file (recipe expected)"]),
        ("studies", "nowhere.toml", ["nowhere.toml: no such file (study expected)"]),
        ("clusters", "..", ["'..'"]),
    ],
)
def test_unknown_name_is_told_the_nearest(kind, name, told):
    with pytest.raises(InputError) as error:
        LOADERS[kind](name)
    for words in told:
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            'handedness = "R"',
            'handednes = "R"',
            ["unknown key 'handednes'; did you mean handedness"],
        ),
        ('handedness = "R"', "", ["key 'handedness' is missing"]),
        ('handedness = "R"', 'handedness = "L"', ["key 'handedness'", "'R', 'S'", "(found 'L')"]),
        ("value = 43.42", "value = -43.42", ["key 'dipole_D.value'", "greater than 0", "-43.42"]),
        ("value = 43.42", "value = 0", ["key 'dipole_D.value'", "greater than 0", "(found 0)"]),
        ("value = 43.42", "value = nan", ["key 'dipole_D.value'", "finite number", "(found nan)"]),
        ("value = 43.42", "value = inf", ["key 'dipole_D.value'", "finite number", "(found inf)"]),
        ("value = 43.42", 'value = "43.42"', ["key 'dipole_D.value'", "valid number", "'43.42'"]),
        ("value = 43.42", "value = true", ["key 'dipole_D.value'", "valid number", "(found True)"]),
        ("value = 43.42", "", ["key 'dipole_D.value' is missing"]),
        ("value = 43.42", "valu = 43.42", ["unknown key 'dipole_D.valu'; did you mean value?"]),
        ('status = "calibrated"', 'status = "sure"', ["axial_contact_nm.status", "'calibrated'"]),
        (
            "[alternative_axial_contact_nm]",
            "[alternative_axial_contact]",
            ["did you mean alternat"],
        ),
        ("(C44H32P2)3", "(Xx44H32P2)3", ["key 'formula'", "not a chemical formula", "Xx44"]),
        ("net_charge_e = 0", "net_charge_e = 0.5", ["key 'net_charge_e'", "(found 0.5)"]),
        ("net_charge_e = 0", "net_charge_e 0", ["not valid TOML", "line 4"]),
        ("net_charge_e = 0", "net_charge_e = 0\ndipole_D = 43", ["not valid TOML"]),
        ("R-Au-Cu", "\udcff", ["can't be read", "utf-8"]),
    ],
)
def test_wrong_file_is_told_file_key_value_and_range(tmp_path, old, new, told):
    text = parameter_file("clusters", "r-au-cu").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new), encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError) as error:
        dm.load_cluster(path)
    for words in [f"{path}: ", *told]:
        assert words in str(error.value)


def test_every_fault_of_a_file_is_named_at_once(tmp_path):
    text = parameter_file("clusters", "r-au-cu").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("value = 43.42", "value = -1").replace("title", "titel"))
    with pytest.raises(InputError, match=r"'title' is missing; .*dipole_D.value.*titel"):
        dm.load_cluster(str(path))


@pytest.mark.parametrize("source", ["", None])
def test_a_number_without_source_is_refused(tmp_path, source):
    line = "" if source is None else f'source = "{source}"'
    text = parameter_file("solvents", "vacuum").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('source = "definition"', line))
    with pytest.raises(InputError, match=r"relative_permittivity.source"):
        dm.load_solvent(path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("low = 1.8", "low = 2.8", "low must not exceed high"),
        ("low = 1.8", "value = 1.8", "either value, or low and/or high"),
        ("low = 1000.0", "", "either value, or low and/or high"),
    ],
)
def test_reference_must_state_a_range_or_a_value(tmp_path, old, new, told):
    text = parameter_file("references", "tem-r-au-cu").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=told):
        dm.load_reference(path)
