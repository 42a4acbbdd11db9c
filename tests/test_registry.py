"""Parts by name, ours and those of a user's own modules."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from interlace.registry import Registry, nearest


@pytest.fixture
def animals():
    animals = Registry("animal")

    @animals.register("cat", "says miau")
    def cat():
        return "miau"

    animals.register("Dog")("wuff")
    return animals


def test_what_was_registered_is_found_by_its_name(animals):
    assert animals["cat"]() == "miau"
    assert animals.about("cat") == "says miau"
    assert animals["Dog"] == "wuff"
    assert animals.about("Dog") == ""
    assert list(animals) == ["cat", "Dog"]
    assert len(animals) == 2  # as they were registered


def test_an_unknown_name_says_what_is_near(animals):
    for look in (animals.__getitem__, animals.about):
        with pytest.raises(
            ValueError,
            match=r"^no animal is named 'dig'; did you mean 'Dog'\? there are cat, Dog$",
        ):
            look("dig")
    with pytest.raises(ValueError, match=r"^no animal is named 'x'; there are cat, Dog$"):
        animals["x"]


def test_the_nearest_name_is_as_it_was_given_in_whatever_case():
    assert nearest("CAT", ["cat", "Cart"]) == "cat"
    assert nearest("dgo", ["cat", "Dog"]) == "Dog"
    assert nearest("cow", ["cat", "Dog"]) is None


def test_asking_whether_there_is_one_raises_nothing(animals):
    assert "cat" in animals
    assert "cow" not in animals
    assert animals.get("cow") is None
    assert animals.get("cow", 7) == 7
    assert animals.get("Dog") == "wuff"


def test_a_name_is_given_once(animals):
    with pytest.raises(ValueError, match="there is a animal named 'cat' already"):
        animals.register("cat")("purr")
    with pytest.raises(ValueError, match="there is a animal named 'cat' already"):

        @animals.register("cat")
        def other():
            return "purr"

    with pytest.raises(ValueError, match="colon"):
        animals.register("my:cat")
    assert animals["cat"]() == "miau"


@pytest.fixture
def own(animals, tmp_path, monkeypatch):
    """A folder with a module of the user's own, that nobody imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    monkeypatch.setitem(sys.modules, "zoo", SimpleNamespace(ANIMALS=animals))

    def write(name, text):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)

    return write


def test_a_part_of_ones_own_is_found_by_its_module(own, animals):
    own(
        "own_animals",
        "from zoo import ANIMALS\n@ANIMALS.register('cow', 'says muh')\ndef cow(): return 'muh'\n",
    )
    assert "cow" not in animals
    assert animals["own_animals:cow"]() == "muh"
    assert animals.about("own_animals:cow") == "says muh"
    assert "own_animals:cow" in animals
    assert animals.get("own_animals:cow") is animals["cow"]
    assert animals.about("cow") == "says muh"  # it is here now
    assert list(animals) == ["cat", "Dog", "cow"]
    with pytest.raises(ValueError, match=r"'own_animals:caw'; did you mean 'cow'\?"):
        animals["own_animals:caw"]


def test_one_definition_may_run_twice(own, animals, monkeypatch, tmp_path):
    """A cell of a notebook that is run again; a script that is imported by its name, too."""
    for sound in ("muh", "moo"):
        cell = f"from zoo import ANIMALS\n@ANIMALS.register('cow')\ndef cow(): return '{sound}'\n"
        exec(cell, {"__name__": "__main__"})
    assert animals["cow"]() == "moo"
    animals.register("fly")(lambda: "bzz")
    with pytest.raises(ValueError, match="'fly' already"):
        animals.register("fly")(lambda: "sss")
    own("twice", "from zoo import ANIMALS\n@ANIMALS.register('yak')\ndef yak(): return __name__\n")
    script = ModuleType("script")
    script.__file__ = str(tmp_path / "twice.py")
    monkeypatch.setitem(sys.modules, "script", script)
    exec(Path("twice.py").read_text(), vars(script))
    assert animals["yak"]() == "script"
    assert animals["twice:yak"]() == "twice"


def test_names_match_a_pattern_and_a_module(own, animals):
    assert animals.names() == ["cat", "Dog"]
    assert animals.names("c*") == ["cat"]
    own("more_animals", "from zoo import ANIMALS\n@ANIMALS.register('crow')\nclass Crow: pass\n")
    assert animals.names("more_animals:*") == ["more_animals:crow"]
    assert animals.names("more_animals:d*") == []
    assert animals.names("c*") == ["cat", "crow"]


def test_a_module_that_is_not_there_is_named(own, animals):
    assert "not_here:cow" not in animals
    with pytest.raises(ValueError, match=r"wants a module 'not_here', which is neither in /.* nor"):
        animals["not_here:cow"]
    with pytest.raises(ValueError, match=r"'not_here\.inner'.*module:name"):
        animals["not_here.inner:cow"]


def test_a_module_that_fails_says_so_itself(own, animals):
    own("lacking_animals", "import not_installed_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        animals["lacking_animals:cow"]
