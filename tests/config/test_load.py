"""Promises of `load_config`: precedence, one-line errors, and what a file of the reference server becomes."""

import pickle
from pathlib import Path

import pytest

from dvid.config import Address, Config, load_config
from dvid.errors import ConfigError

UUID = "99ef22cd85f143f58a623bd22aad0ef7"
OTHER_UUID = "2ff3197a5a9844be9a905b38d12d41ca"


@pytest.fixture
def load(tmp_path):
    """Loads a configuration from the text of a file, overrides and an environment."""

    def loaded(text: str | None = None, overrides=None, **environ: str) -> Config:
        path = None
        if text is not None:
            path = tmp_path / "dvid.toml"
            path.write_text(text)
        return load_config(path and str(path), overrides or {}, environ={"HOME": "/home/ada", **environ})

    return loaded


@pytest.fixture
def refusal(load):
    """The one line with which a configuration is refused."""

    def refused(*args, **kwargs) -> str:
        with pytest.raises(ConfigError) as caught:
            load(*args, **kwargs)
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        return message

    return refused


def test_without_any_setting_a_server_listens_on_loopback_and_keeps_data_in_the_home_directory(load):
    config = load()
    assert config.server.http_address == Address("127.0.0.1", 8000)
    assert config.server.http_address.is_loopback
    assert config.default_store.path == "/home/ada/.local/share/dvid"
    assert config.default_store.durability == "durable"
    assert config.metadata_store is config.default_store
    assert config.admin_token is None
    assert 1 <= config.server.workers <= 8
    assert config.server.host
    assert config.warnings == ()


def test_xdg_data_home_decides_the_default_folder_when_it_is_absolute(load):
    assert load(XDG_DATA_HOME="/srv/share").default_store.path == "/srv/share/dvid"
    assert load(XDG_DATA_HOME="share").default_store.path == "/home/ada/.local/share/dvid"


def test_data_alone_makes_the_default_store(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(None, {"data": "volumes"}).default_store.path == str(tmp_path / "volumes")
    assert load(None, {"data": None}, DVID_DATA="/srv/dvid").default_store.path == "/srv/dvid"
    config = load(None, {"data": "/srv/other", "store.default.durability": "relaxed"}, DVID_DATA="/srv/dvid")
    assert (config.default_store.path, config.default_store.durability) == ("/srv/other", "relaxed")


def test_data_moves_the_default_store_of_a_file_and_keeps_its_other_settings(load):
    text = '[store.main]\npath = "a"\ndurability = "relaxed"\n[store.notes]\npath = "b"\n[backend.default]\nstore = "main"\n'
    config = load(text, {"data": "/srv/dvid"})
    assert config.default_store.name == "main"
    assert (config.default_store.path, config.default_store.durability) == ("/srv/dvid", "relaxed")
    assert config.store("notes").path.endswith("/b")


def test_data_gives_a_path_to_the_only_store_of_a_file(load, refusal):
    text = '[store.main]\ndurability = "relaxed"\n'
    assert load(text, {"data": "/srv/dvid"}).store("main").path == "/srv/dvid"
    assert refusal(text).endswith("dvid.toml: store.main.path is missing: expected a path")


def test_a_store_called_default_may_go_without_a_path(load):
    assert load('[store.default]\nmaxSize = "1 GiB"\n').default_store.path == "/home/ada/.local/share/dvid"


def test_the_command_line_goes_before_the_environment_before_the_file_before_the_default(load):
    text = "[server]\nthreads = 11\nworkers = 11\n[limits]\nheavyRequests = 11\n"
    environ = {"DVID_SERVER_THREADS": "12", "DVID_SERVER_WORKERS": "12"}
    config = load(text, {"server.threads": 13}, **environ)
    assert (config.server.threads, config.server.workers) == (13, 12)
    assert (config.limits.heavy_requests, config.limits.key_bytes) == (11, 400)


def test_text_of_the_environment_and_the_command_line_stands_for_every_kind_of_value(load):
    config = load(
        None,
        {"limits.bodyBytes": "2 GiB", "limits.requestSeconds": "1.5", "server.readOnly": True},
        DVID_SERVER_CORS_DOMAINS="https://a.org, b.org",
        DVID_SERVER_ALLOW_TIMING="true",
        DVID_LIMITS_ANSWER_BYTES="1000",
        DVID_SERVER_HTTP_ADDRESS="[::1]:9",
        DVID_SERVER_NOTE="7",
    )
    assert (config.limits.body_bytes, config.limits.answer_bytes) == (2 * 2**30, 1000)
    assert config.limits.request_seconds == 1.5
    assert config.server.read_only
    assert config.server.allow_timing
    assert config.server.cors_domains == ("https://a.org", "b.org")
    assert config.server.http_address == Address("::1", 9)
    assert config.server.note == "7"


def test_an_empty_environment_variable_counts_as_not_set(load):
    assert load(DVID_SERVER_THREADS="", DVID_ADMIN_TOKEN="").server.threads == 4


def test_an_unknown_variable_is_refused_but_not_those_of_kubernetes_or_others(load, refusal):
    message = refusal(DVID_SERVER_TREADS="3")
    assert message == 'environment: unknown variable DVID_SERVER_TREADS (did you mean "DVID_SERVER_THREADS"?)'
    load(DVID_SERVER_SERVICE_HOST="10.0.0.1", DVID_SERVER_PORT_8000_TCP="tcp://10.0.0.1:8000", DVID_USER="ada")


def test_relative_paths_start_at_the_folder_of_the_file(load, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/home/ada")
    config = load('[server]\nwebClient = "console"\naccessLogFile = "~/log"\n[store.a]\npath = "../data"\n')
    assert config.server.web_client == str(tmp_path / "console")
    assert config.server.access_log_file == "/home/ada/log"
    assert config.default_store.path == str(tmp_path.parent / "data")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nhttpAdress = 1", 'unknown key "httpAdress" in [server] (did you mean "httpAddress"?)'),
        ("[server]\nrequestTimeout = 1", 'unknown key "requestTimeout" in [server]'),
        ("[serve]\nnote = 1", 'unknown table or key "serve" (did you mean "server"?)'),
        ("httpAddress = 1", 'unknown table or key "httpAddress" (it belongs under [server])'),
        ("server = 1", "server = 1: expected a table, [server]"),
        ("store.a = 1", "store.a = 1: expected a table, [store.a]"),
        ("[server]\nnote = 1", "server.note = 1: expected a text"),
        ("[server]\nworkers = 0", "server.workers = 0: expected a whole number from 1 to 256"),
        ("[server]\nworkers = true", "server.workers = true: expected a whole number from 1 to 256"),
        ("[server]\nreadOnly = 1", "server.readOnly = 1: expected true or false"),
        ('[server]\naccessLog = "xml"', 'server.accessLog = "xml": expected "json", "text" or "off"'),
        ('[server]\nnote = "a"\nNOTE = "b"', "server.note is given twice, in different spelling"),
        ('[server]\n[SERVER]\nnote = "b"', "the table [server] is given twice, in different spelling"),
        ("[server]\nrwmode = 1", 'server.rwmode = 1: expected "readonly" or ""'),
        (
            "[limits]\nrequestSeconds = nan",
            "limits.requestSeconds = nan: expected a number of seconds above 0, at most",
        ),
        ('[limits]\nbodyBytes = "1 XB"', 'limits.bodyBytes = "1 XB": expected a size of at least 1 bytes'),
        ('[store.a]\nengine = "lmbd"\npath = "x"', 'store.a.engine = "lmbd": expected "lmdb"'),
        ('[store.a]\nengine = "badger"\npath = "x"', "stores of the reference server cannot be opened by this one"),
        ('[store.a]\npath = "x"\npth = "y"', 'unknown key "pth" in [store.a] (did you mean "path"?)'),
        ('[store.a]\npath = "x"\n[store.b]\npath = "y"', "there are 2 stores: expected [backend.default]"),
        (
            '[store.a]\npath = "x"\n[store.b]\npath = "./x"\n[backend.default]\nstore = "a"',
            ': expected a folder of its own: store "a" is there',
        ),
        (
            '[store.main]\npath = "x"\n[backend.default]\nstore = "mian"',
            'backend.default.store = "mian": expected one of the stores: "main" (did you mean "main"?)',
        ),
        ('[backend.default]\nstore = "a"', 'store = "a": expected one of the stores: none is declared'),
        ("[backend.labelmap]", "backend.labelmap.store is missing: expected a text of one line"),
        ('[backend."g:99ef22cd"]\nstore = "a"', "expected name:UUID with all 32 digits of the UUID"),
        ("a = ", "not a TOML file: Invalid value"),
        ("a = 1" + "0" * 5000, "not a TOML file: "),
        ("[limits]\nbodyBytes = 0x1" + "0" * 5000, "limits.bodyBytes = a number of 20001 bits: expected a size"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_file_key_and_value(refusal, tmp_path, text, message):
    line = refusal(text)
    assert line.startswith(f"{tmp_path}/dvid.toml: ")
    assert message in line


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"server.htpAddress": "x"}, 'server.htpAddress: unknown setting (did you mean "server.httpAddress"?)'),
        ({"server.threads": "many"}, 'server.threads = "many": expected a whole number from 1 to 1024'),
        ({"store.a.durability": "relaxed"}, "store.a.path is missing"),
        ({"store.a.b.sise": "1"}, "store.a.b.sise: unknown setting"),
        ({"data": ""}, 'data = "": expected a path'),
        ({"data": "a\0b"}, 'data = "a\\x00b": expected a path'),
        ({"data": "\ud800"}, 'data = "\\ud800": expected a path'),
        ({"server.threads": [[["deep"]]]}, "server.threads = [[...]]: expected"),
    ],
)
def test_a_bad_option_is_one_line_that_names_the_command_line(refusal, overrides, message):
    line = refusal(None, overrides)
    assert line.startswith("command line: ")
    assert message in line


def test_a_bad_variable_is_one_line_that_names_it(refusal):
    assert refusal(DVID_LIMITS_BODY_BYTES="lots").startswith('environment: DVID_LIMITS_BODY_BYTES = "lots": expected')


def test_a_file_that_is_missing_or_nested_too_deeply_is_one_line(refusal, tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: the configuration file cannot be read: No such file"):
        load_config(str(tmp_path / "none.toml"), environ={})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(str(tmp_path), environ={})
    assert "dvid.toml: " in refusal("a = " + "[" * 5000 + "]" * 5000)


def test_stores_are_found_in_the_order_of_the_reference(load):
    tables = {"default": "a", "metadata": "b", "keyvalue": "c", "color=red": "d", f"gray:{UUID}": "e", OTHER_UUID: "f"}
    text = "".join(f'[store.{s}]\npath = "{s}"\n' for s in "abcdef")
    text += "".join(f'[backend."{what}"]\nstore = "{store}"\n' for what, store in tables.items())
    config = load(text)

    def of(**changed) -> str:
        asked = {"name": "x", "typename": "roi", "root_uuid": "0" * 32, "data_uuid": "1" * 32, "tags": {}, **changed}
        return config.store_of(**asked).name

    red = {"color": "red"}
    assert (config.default_store.name, config.metadata_store.name) == ("a", "b")
    assert of() == "a"
    assert of(typename="keyvalue") == "c"
    assert of(typename="keyvalue", tags=red) == "d"
    assert of(typename="keyvalue", tags=red, name="gray", root_uuid=UUID) == "e"
    assert of(typename="keyvalue", tags=red, name="gray", root_uuid=UUID, data_uuid=OTHER_UUID) == "f"
    assert of(name="gray") == "a"


def test_tags_may_be_written_with_a_colon_as_in_the_references_example(load):
    config = load('[store.a]\npath = "a"\n[backend."type:meshes"]\nstore = "a"\n')
    assert "type=meshes" in {backend.specifier for backend in config.backends}


def test_a_backend_for_a_type_that_does_not_exist_is_refused(load):
    config = load('[store.a]\npath = "a"\n[backend.keyvalu]\nstore = "a"\n')
    with pytest.raises(ConfigError, match=r'dvid.toml: \[backend.keyvalu\]: .*did you mean "keyvalue"'):
        config.check_types(["keyvalue", "roi"])
    config.check_types(["keyvalu"])


def test_a_file_of_the_reference_with_its_engines_changed_is_accepted_with_a_warning_for_each_ignored_setting(load):
    config = load("""
        [server]
        host = "mygreatserver.test.com"
        httpAddress = ":8000"
        rpcAddress = ":8001"
        webClient = "/path/to/webclient"
        webDefaultFile = "index.html"
        webRedirectPath = "index.html"
        corsDomains = ["mydomain.org"]
        noLabelmapSplit = true
        rwmode = "readonly"
        instance_id_gen = "sequential"
        [auth]
        enforce = "none"
        public_versions = []
        [email]
        password = "hunter2"
        [logging]
        logfile = "/demo/logs/dvid.log"
        [mutations]
        jsonstore = "/path/to/json-mutlog"
        [backend.default]
        store = "ssd"
        log = "mutationlog"
        [backend.labelmap]
        log = "mutationlog"
        [store.ssd]
        engine = "lmdb"
        path = "/datassd/dbs"
        [store.mutationlog]
        engine = "filelog"
        path = "/data/mutationlog"
        [kafka]
        servers = ["foo.bar.com:1234"]
        [mirror.all]
        servers = ["http://mirror1:7000"]
        """)
    assert config.server.http_address == Address("127.0.0.1", 8000)
    assert config.server.alias == "mygreatserver.test.com:8000"
    assert config.server.web_redirect_path == "/index.html"
    assert config.server.read_only
    assert [store.name for store in config.stores] == ["ssd"]
    assert [backend.specifier for backend in config.backends] == ["default"]
    expected = "rpcAddress noLabelmapSplit instance_id_gen [auth] [email] [logging] mutations.jsonstore default.log"
    expected += " labelmap.log [store.mutationlog] [kafka] [mirror]"
    assert len(config.warnings) == len(expected.split())
    for what in expected.split():
        assert sum(f"{what} is ignored: " in line for line in config.warnings) == 1, what
    assert "hunter2" not in repr(config) + config.to_toml()


def test_switched_on_authorization_of_the_reference_is_refused(refusal):
    for key in ("enforce", "enforce_internal"):
        line = refusal(f'[auth]\n{key} = "token"\n')
        assert f'auth.{key} = "token": expected "none": checking users is not supported yet' in line


def test_rwmode_readonly_is_read_only_and_fullwrite_is_refused(load, refusal):
    assert load('[server]\nrwmode = "readonly"\n').server.read_only
    assert not load('[server]\nrwmode = ""\n').server.read_only
    assert load('[server]\nrwmode = ""\nreadOnly = true\n').server.read_only
    assert not load('[server]\nrwmode = "readonly"\n', {"server.readOnly": False}).server.read_only
    line = refusal('[server]\nrwmode = "readonly"\nreadOnly = false\n')
    assert 'server.readOnly = false: expected true, or no rwmode = "readonly" beside it' in line
    assert 'rwmode = "fullwrite": expected "readonly" or ""' in refusal('[server]\nrwmode = "fullwrite"\n')


def test_keys_are_known_in_any_case(load):
    assert load('[Server]\nHTTPADDRESS = "localhost:1"\n').server.http_address == Address("localhost", 1)


def test_the_admin_token_comes_from_the_environment_only_and_is_never_shown(load, refusal):
    config = load('[store.a]\npath = "a"\n', DVID_ADMIN_TOKEN="s3cret-token")
    assert config.admin_token == "s3cret-token"
    assert "s3cret" not in repr(config) + config.to_toml() + str(config.describe())
    for text in ('[server]\nadminToken = "s3cret"\n', '[server]\nadmin_token = "s3cret"\n'):
        line = refusal(text)
        assert "DVID_ADMIN_TOKEN" in line
        assert "s3cret" not in line
    assert "s3cret" not in refusal(DVID_ADMIN_TOKEN="s3cret with spaces")


def test_the_settings_in_force_are_a_file_that_gives_them_again(load):
    text = '[server]\nnote = "say \\"ä\\u0007\\n\\\\\\""\ncorsDomains = ["*"]\n[limits]\nrequestSeconds = 0.5\n'
    text += f'[store."a b.c"]\npath = "a"\nmaxSize = "2 GB"\n[backend."gray:{UUID.upper()}"]\nstore = "a b.c"\n'
    config = load(text)
    again = load(config.to_toml())
    assert again == config
    assert again.server.note == 'say "ä\x07\n\\"'
    assert again.store("a b.c").max_size == 2_000_000_000


def test_a_config_can_be_sent_to_another_process(load):
    config = load(DVID_ADMIN_TOKEN="t0ken")
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert again.admin_token == "t0ken"


def test_the_example_file_loads_without_a_warning():
    path = Path(__file__).parents[2] / "examples" / "dvid.toml"
    config = load_config(str(path), environ={})
    assert config.warnings == ()
    assert config.default_store.name == "volumes"
    assert config.default_store.path == str(path.parent / "dvid-data" / "volumes")
    assert config.store_of(name="n", typename="keyvalue", root_uuid="", data_uuid="").durability == "relaxed"
