use super::table::rooms::Room;
use super::tables::Table;
use super::*;
use crate::failure::Failure;
use crate::small_file::FileKind;
use crosspoint_hub::Limit;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

fn load_from(flags: &[&str], env: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
    let arguments = ["crosspoint"].iter().chain(flags);
    let matches =
        add_arguments(Command::new("crosspoint")).try_get_matches_from(arguments).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(&matches, env, FileKind::Regular)
}

fn file_with(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load_file(text: &str) -> Result<Loaded, String> {
    let file = file_with(text);
    let path = file.path().to_str().unwrap();
    load_from(&["--config", path], &[]).map_err(|error| error.to_string().replace(path, "FILE"))
}

fn message(result: Result<Loaded, impl ToString>) -> String {
    result.err().expect("these settings are wrong").to_string()
}

#[test]
fn every_row_has_help_and_names_of_its_own() {
    let mut names = BTreeSet::from(["config".to_owned(), ENV_CONFIG.to_owned()]);
    for row in rows() {
        assert!(row.doc[0].ends_with('.') && row.doc[0].len() <= 90, "{}: short help", row.key);
        assert!(
            row.doc.len() > 1 && row.doc.iter().all(|paragraph| !paragraph.is_empty()),
            "{}: help",
            row.key
        );
        assert!(names.insert(row.env.clone()), "{} is the name of two settings", row.env);
        let flag = row.flag.clone().unwrap_or_else(|| row.key.to_owned());
        assert!(names.insert(flag), "{:?} is the flag of two settings", row.flag);
    }
    assert_eq!(names.len(), 2 * (rows().count() + 1));
    add_arguments(Command::new("crosspoint")).debug_assert();
}

#[test]
fn with_nothing_given_every_setting_has_its_default() {
    let loaded = load_from(&[], &[("PATH", "/bin")]).unwrap();
    assert!(loaded.origins.values().all(|origin| *origin == Origin::Default));
    assert_eq!(loaded.origins.len(), rows().count());
    assert_eq!(loaded.settings.server.listen, ["0.0.0.0:7680"]);
    assert_eq!(loaded.settings.limits.outbox_bytes_max, 4 << 20);
    assert_eq!(loaded.settings.limits.idle_s_max, Duration::ZERO);
    assert_eq!(loaded.settings.log.format, LogFormat::Text);
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = file_with("[limits]\nbans_max = 1\nmembers_max = 1\nchannels_owned_max = 1");
    let path = file.path().to_str().unwrap();
    let env = [
        ("CROSSPOINT_CONFIG", path),
        ("CROSSPOINT_LIMITS__BANS_MAX", "2"),
        ("CROSSPOINT_LIMITS__MEMBERS_MAX", "2"),
    ];
    let loaded = load_from(&["--bans-max", "3"], &env).unwrap();
    let limits = &loaded.settings.limits;
    assert_eq!(
        (
            limits.bans_max,
            limits.members_max,
            limits.channels_owned_max,
            limits.channels_entered_max
        ),
        (3, 2, 1, 128)
    );
    let origin = |key: &str| loaded.origins[key].to_string();
    assert_eq!(origin("limits.bans_max"), "flag --bans-max");
    assert_eq!(origin("limits.members_max"), "env CROSSPOINT_LIMITS__MEMBERS_MAX");
    assert_eq!(origin("limits.channels_owned_max"), format!("file {path}"));
    assert_eq!(origin("limits.channels_entered_max"), "default");
}

#[test]
fn every_kind_is_read_from_the_file() {
    let settings = load_file(
        r#"
        log = { level = "info,crosspoint_net=debug", format = "json" }
        http.metrics = false
        [server]
        listen = ["[::1]:0", "localhost:80"]
        stop_ms_max = 0
        [limits]
        frame_bytes_max = 0x1000
        outbox_bytes_max = "1g"
        message_bytes_max = "2MiB"
        idle_s_max = 7200
        [[rooms.declared]]
        name = "lobby"
        [[rooms.declared]]
        name = "race"
        mode = "raw"
        members_max = 8
        chunk_bytes_max = "1KiB"
        "#,
    )
    .unwrap()
    .settings;
    assert_eq!(settings.server.listen, ["[::1]:0", "localhost:80"]);
    assert_eq!(settings.server.stop_ms_max, Duration::ZERO);
    assert_eq!(settings.log.level, "info,crosspoint_net=debug");
    assert_eq!(settings.log.format, LogFormat::Json);
    assert!(!settings.http.metrics && settings.http.health);
    assert_eq!(settings.limits.frame_bytes_max, 4096);
    assert_eq!(settings.limits.outbox_bytes_max, 1 << 30);
    assert_eq!(settings.limits.message_bytes_max, 2 << 20);
    assert_eq!(settings.limits.idle_s_max, Duration::from_secs(7200));
    let [lobby, race] = &settings.rooms.declared[..] else { panic!("two rooms are declared") };
    assert_eq!(*lobby, Room { name: "lobby".to_owned(), ..Room::default() });
    assert_eq!(
        (race.mode, race.members_max, race.chunk_bytes_max),
        (RoomMode::Raw, Some(8), Some(1024))
    );
}

#[test]
fn lists_and_switches_are_read_from_flags_and_environment() {
    let flags = ["--listen", "a:1", "--listen", "b:2,c:3", "--peote", "false", "--metrics"];
    let env = [("CROSSPOINT_HTTP__METRICS", "false"), ("CROSSPOINT_HTTP__HEALTH", "false")];
    let settings = load_from(&flags, &env).unwrap().settings;
    assert_eq!(settings.server.listen, ["a:1", "b:2", "c:3"]);
    assert!(
        settings.peote.enabled == Some(false) && settings.http.metrics && !settings.http.health
    );
}

#[test]
fn everything_wrong_in_a_file_is_named_with_its_line() {
    let message = message(load_file(
        "peote = 1\n\
         [limits]\n\
         frame_bytes_max = 512\n\
         outbox_byte_max = 1\n\
         idle_s_max = \"10\"\n\
         members_max = -1\n\
         [limit]\n\
         [log]\n\
         format = \"xml\"\n\
         bans_max = 1\n\
         [server]\n\
         listen = [\"0.0.0.0\"]\n\
         [[rooms.declared]]\n\
         nam = \"lobby\"\n\
         [[rooms.declared]]\n\
         name = \"a\"\n\
         mode = 3\n\
         [[rooms.declared]]\n\
         name = \"a\"\n",
    ));
    let expected = "\
13 settings are wrong:
  file FILE, line 1: peote = 1: expected a table [peote]
  file FILE, line 3: limits.frame_bytes_max = 512: expected bytes from 1KiB to 1MiB (such as 65536 or \"64KiB\")
  file FILE, line 4: unknown setting limits.outbox_byte_max; did you mean limits.outbox_bytes_max?
  file FILE, line 5: limits.idle_s_max = \"10\": expected seconds from 0 to 31536000; 0: never
  file FILE, line 6: limits.members_max = -1: expected an integer from 1 to 1000000
  file FILE, line 7: unknown setting limit; did you mean limits?
  file FILE, line 9: log.format = \"xml\": expected one of text, json
  file FILE, line 10: unknown setting log.bans_max; did you mean limits.bans_max?
  file FILE, line 12: server.listen = [\"0.0.0.0\"]: expected a list of at least one HOST:PORT, unix:PATH, systemd or systemd:NAME, each perhaps with tls:// before it, such as 0.0.0.0:7680 or [::]:7680
  file FILE, line 13: rooms.declared[0].name is missing
  file FILE, line 14: unknown setting rooms.declared[0].nam; did you mean name?
  file FILE, line 17: rooms.declared[1].mode = 3: expected one of chunk, raw
  file FILE, line 19: rooms.declared[2].name = \"a\": expected a name that no other room has";
    assert_eq!(message, expected);
}

#[test]
fn wrong_flags_environment_and_unreadable_files_are_reported_together() {
    let env = [
        ("CROSSPOINT_SERVER__THREADS", "many\n"),
        ("CROSSPOINT_LIMITS_BANS_MAX", "1"),
        ("CROSSPOINT_LISTEN", "a:1"),
        ("CROSSPOINT_ROOMS__DECLARED", "lobby"),
        ("CROSSPOINT_PORT", "7680"),
    ];
    let flags = ["--config=/no/such/file", "--heartbeat-ms", "-5", "--log=loud"];
    let message = message(load_from(&flags, &env));
    let beginnings = [
        "8 settings are wrong:",
        "  env CROSSPOINT_LIMITS_BANS_MAX: unknown setting CROSSPOINT_LIMITS_BANS_MAX; \
         did you mean CROSSPOINT_LIMITS__BANS_MAX?",
        "  env CROSSPOINT_LISTEN: unknown setting CROSSPOINT_LISTEN; \
         did you mean CROSSPOINT_SERVER__LISTEN?",
        "  env CROSSPOINT_PORT: unknown setting CROSSPOINT_PORT",
        "  env CROSSPOINT_ROOMS__DECLARED: rooms.declared can be set in a file only",
        "  env CROSSPOINT_SERVER__THREADS: server.threads = \"many\\n\": \
         expected an integer from 0 to 1024; 0: one per core",
        "  flag --config: cannot read the file /no/such/file: ",
        "  flag --heartbeat-ms: limits.heartbeat_ms = \"-5\": expected milliseconds from 100",
        "  flag --log: log.level = \"loud\": expected one of off, error, warn, info, debug,",
    ];
    assert_eq!(message.lines().count(), beginnings.len(), "{message}");
    for (line, beginning) in message.lines().zip(beginnings) {
        assert!(line.starts_with(beginning), "{line}\nshould begin with\n{beginning}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_the_line() {
    let message = message(load_file("[limits]\nbans_max = 1\nbans_max = 2\nmembers_max = = 3\n"));
    assert!(message.contains("file FILE, line 3: this is not TOML: "), "{message}");
    assert!(message.contains("file FILE, line 4: this is not TOML: "), "{message}");
}

#[test]
fn the_names_of_a_kubernetes_service_are_not_taken_for_settings() {
    let env = [
        ("CROSSPOINT_SERVICE_HOST", "10.0.0.1"),
        ("CROSSPOINT_SERVICE_PORT_GAME", "7680"),
        ("CROSSPOINT_PORT", "tcp://10.0.0.1:7680"),
        ("CROSSPOINT_PORT_7680_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(load_from(&[], &env).is_ok());
}

#[test]
fn the_bounds_of_a_range_are_inside_it() {
    let stays = |value: &str| load_from(&["--outbox-bytes-max", value], &[]).is_ok();
    assert!(stays("256k") && stays("262144") && stays("1GiB") && stays("1024m"));
    for wrong in ["262143", "1073741825", "2g", "", "k", "1.5m", "256KB", "256 KiB", "99999999999g"]
    {
        assert!(!stays(wrong), "{wrong:?} is not allowed");
    }
}

#[test]
fn addresses_are_checked() {
    let listens = |value: &str| load_from(&["--listen", value], &[]).is_ok();
    assert!(listens("example.org:1") && listens("[fe80::1]:65535") && listens("127.0.0.1:0"));
    for wrong in
        ["", ":1", "host:", "host:65536", "host:+1", "::1:80", "[::1]", "[x]:1", "a b:1", "a:1,"]
    {
        assert!(!listens(wrong), "{wrong:?} is not allowed");
    }
}

#[test]
fn patterns_of_names_are_a_list_or_a_star() {
    let enters = |value: &str| load_from(&["--permit-enter", value], &[]);
    let names = |value: &str| enters(value).map_err(|_| ()).map(|it| it.settings.permissions.enter);
    assert_eq!(names("*"), Ok(vec!["*".to_owned()]));
    assert_eq!(names("lobby,arena-*"), Ok(vec!["lobby".to_owned(), "arena-*".to_owned()]));
    assert_eq!(names(""), Ok(vec![]), "none at all");
    assert!(names(&["x*"; 256].join(",")).is_ok() && names(&["x"; 257].join(",")).is_err());
    for wrong in ["a,", ",", &"x".repeat(256)] {
        assert!(names(wrong).is_err(), "{wrong:?} is not allowed");
    }
    let file = |value: &str| load_file(&format!("permissions.reach = {value}"));
    for (value, shown) in [
        (r#""*""#, r#""*""#),
        (r#"["*"]"#, r#""*""#),
        ("[]", "[]"),
        (r#"["a,b", "c*"]"#, r#"["a,b", "c*"]"#),
    ] {
        let printed = render(&file(value).unwrap());
        assert!(printed.contains(&format!("\nreach    = {shown} ")), "{printed}");
    }
    for wrong in [r#""lobby""#, r#""""#, "true", "[1]", r#"[""]"#] {
        assert!(file(wrong).is_err(), "{wrong} is not allowed");
    }
}

#[test]
fn the_id_of_the_hub_has_32_hexadecimal_digits() {
    let id = |value: &str| load_from(&["--id", value], &[]).map(|it| it.settings.server.id);
    let digits = "00112233445566778899AAbbccddeeff";
    assert_eq!(id(digits).unwrap().unwrap().to_string(), digits.to_lowercase());
    assert_eq!(id("").unwrap(), None);
    let signed = format!("+{}", &digits[1..]);
    for wrong in [&digits[1..], &signed, "00112233-4455-6677-8899-aabbccddeeff", &digits.repeat(2)]
    {
        assert!(id(wrong).is_err(), "{wrong:?} is not allowed");
    }
}

#[test]
fn directories_have_each_a_path_of_their_own() {
    let serves = |value: &str| load_from(&["--http-files", value], &[]).is_ok();
    assert!(serves("") && serves("/=public") && serves("/=a=b,/assets=/srv/game"));
    for wrong in ["public", "=public", "assets=x", "/=", "/a=x,/a/=y", "/=x,", "/a"] {
        assert!(!serves(wrong), "{wrong:?} is not allowed");
    }
}

#[test]
fn an_access_token_and_a_file_of_auth_exclude_each_other() {
    let flags = ["--secrets-file=s.toml", "--jwt-keys=k.toml"];
    assert!(load_from(&flags, &[]).is_ok());
    let env = [("CROSSPOINT_SERVER__ACCESS_TOKEN", "swordfish")];
    let told = message(load_from(&flags, &env));
    for (line, key) in
        told.lines().skip(1).zip(["jwt-keys: auth.jwt_keys", "secrets-file: auth.secrets_file"])
    {
        let beginning = format!(
            "  flag --{key} cannot be set together with server.access_token \
             (env CROSSPOINT_SERVER__ACCESS_TOKEN): "
        );
        assert!(line.starts_with(&beginning), "{told}");
    }
    assert!(told.starts_with("2 settings are wrong:\n") && !told.contains("swordfish"), "{told}");

    let told = message(load_file(
        "[server]\naccess_token = \"swordfish\"\n[auth]\njwt_keys = \"k.toml\"\n",
    ));
    let expected = "  file FILE, line 4: auth.jwt_keys cannot be set together with \
                    server.access_token (file FILE): ";
    assert!(told.lines().nth(1).is_some_and(|line| line.starts_with(expected)), "{told}");
}

#[test]
fn the_stall_limit_can_be_lowered_without_switching_resume_off() {
    let fits = |flags: &[&str]| load_from(flags, &[]).is_ok();
    assert!(fits(&["--outbox-stall-ms-max=1000"]) && fits(&["--resume-heartbeat-ms=60000"]));
}

#[test]
fn the_shortest_heartbeat_to_wish_for_is_not_above_the_longest() {
    let flags = |least: u32, most: u32| {
        [format!("--heartbeat-ms-min={least}"), format!("--heartbeat-ms-max={most}")]
    };
    let load = |flags: [String; 2]| load_from(&[&flags[0], &flags[1]], &[]);
    assert!(load(flags(2000, 2000)).is_ok());
    let told = message(load(flags(2001, 2000)));
    let expected = "1 setting is wrong:\n  flag --heartbeat-ms-min: limits.heartbeat_ms_min = 2001: \
                    expected at most limits.heartbeat_ms_max = 2000 (flag --heartbeat-ms-max), ";
    assert!(told.starts_with(expected), "{told}");
    let told = message(load_from(&["--heartbeat-ms-max=999"], &[]));
    let expected = "  flag --heartbeat-ms-max: limits.heartbeat_ms_max = 999: expected at least \
                    limits.heartbeat_ms_min = 1000 (default), ";
    assert!(told.lines().nth(1).is_some_and(|line| line.starts_with(expected)), "{told}");
}

#[test]
fn what_config_prints_is_a_file_of_the_same_settings() {
    let file = file_with(
        "server.name = \"a \\\"name\\\"\\u0007\\n# \\\\\"\n\
         permissions.enter = [\"a,b\", \"c*\"]\nserver.id = \"00112233445566778899aabbccddeeff\"\n\
         http.files = [\"/=a,b\"]\npeers.duplicates = \"replace\"\n\
         [[rooms.declared]]\nname = \"lobby\"\nmembers_max = 8\n",
    );
    let path = file.path().to_str().unwrap();
    let flags =
        ["--config", path, "--idle-s-max=60", "--bytes-per-second-max=1000", "--log-format=json"];
    let loaded = load_from(&flags, &[("CROSSPOINT_LIMITS__BANS_MAX", "7")]).unwrap();
    let printed = render(&loaded);
    let again = load_file(&printed).unwrap();
    assert!(again.settings == loaded.settings);

    for line in printed.lines().filter(|line| !line.is_empty() && !line.starts_with('[')) {
        let line = line.trim_start();
        assert!(line.contains("  # "), "{line}");
    }
    let line_of = |key: &str| printed.lines().find(|line| line.starts_with(key)).unwrap();
    assert!(line_of("idle_s_max ").ends_with(" = 60       # flag --idle-s-max"), "{printed}");
    assert!(line_of("bans_max ").ends_with(" = 7        # env CROSSPOINT_LIMITS__BANS_MAX"));
    assert!(line_of("frame_bytes_max ").ends_with(" = \"64KiB\"  # default"));
    assert!(printed.contains(&format!(
        "  {{ name = \"lobby\", mode = \"chunk\", members_max = 8 }},  # file {path}"
    )));
}

#[test]
fn the_access_token_is_never_shown() {
    let loaded = load_from(&["--access-token", "swordfish"], &[]).unwrap();
    assert_eq!(loaded.settings.server.access_token, "swordfish");
    let printed = render(&loaded);
    let line = printed.lines().find(|line| line.starts_with("access_token ")).unwrap();
    assert!(line.contains(" = \"***\" ") && !printed.contains("swordfish"));

    let too_long = "swordfish".repeat(40);
    let message = message(load_from(&["--access-token", &too_long], &[]));
    assert!(
        message.contains("server.access_token = ***: expected") && !message.contains("swordfish")
    );
}

#[test]
fn what_the_hub_presents_to_anysocket_programs_is_never_shown() {
    for auth in ["swordfish", r#"{"word":"swordfish"}"#] {
        let loaded = load_from(&["--anysocket-auth", auth], &[]).unwrap();
        let printed = render(&loaded);
        assert!(printed.contains("= \"***\"") && !printed.contains("swordfish"), "{printed}");
        let anysocket = crate::options::anysocket(&loaded.settings).unwrap();
        let presented = anysocket.auth.unwrap().into_bytes();
        let text = if auth.starts_with('{') { auth.to_owned() } else { format!("\"{auth}\"") };
        assert_eq!(presented, text);
    }
    let loaded = load_from(&["--anysocket-auth", "{swordfish"], &[]).unwrap();
    let Err(Failure::Setup(error)) = crate::options::server(&loaded.settings, None) else {
        panic!()
    };
    assert!(error.contains("anysocket.auth") && !error.contains("swordfish"), "{error}");
}

#[test]
fn rules_for_channels_are_read_shown_and_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.toml");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        load_from(&["--config", path.to_str().unwrap()], &[])
    };
    let given = "[[channels]]\nname = \"game-*\"\nmembers_max = 8\nmessage_bytes_max = \"16KiB\"\nwaiting_bytes_max = \"1MiB\"\n\
                 messages_per_second_max = 200\nbytes_per_second_max = 65536\ncreate_by = [\"host-*\"]\n\
                 create_from = [\"192.0.2.0/24\", \"::1\"]\nenter_by = \"*\"\nblocked = [\"198.51.100.7\"]\n\
                 [[channels]]\nname = \"*\"\n";
    let loaded = load(given).unwrap();
    let rules = &loaded.settings.channels.rules;
    let from = rules[0].create_from.as_ref().map(Vec::len);
    assert_eq!((rules.len(), rules[0].members_max, from), (2, Some(8), Some(2)));
    let options = crate::options::hub(&loaded.settings).unwrap();
    assert_eq!(options.channel_rules[0].messages_per_second_max, 200);
    assert_eq!(options.channel_rules[0].waiting_bytes_max, Some(1 << 20));
    assert_eq!(
        options.channel_rules[0].blocked,
        ["198.51.100.7".parse().unwrap()].into_iter().collect()
    );
    assert!(load(&render(&loaded)).unwrap().settings.channels.rules == *rules);
    for (wrong, said) in [
        ("members_max = 1", "channels[0].name"),
        ("name = \"x\"\nmembers_max = 0", "channels[0].members_max"),
        ("name = \"x\"\nblocked = [\"10.0.0.0/33\"]", "channels[0].blocked"),
        ("name = \"x\"\nenter = 1", "channels[0].enter"),
    ] {
        let told = message(load(&format!("[[channels]]\n{wrong}\n")));
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn an_empty_list_of_a_rule_names_nobody_and_one_that_is_not_given_everybody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.toml");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        load_from(&["--config", path.to_str().unwrap()], &[]).unwrap()
    };
    let nobody = Some(crosspoint_hub::rules::Who::default());
    for empty in ["create_by", "create_from", "enter_by", "enter_from"] {
        let loaded = load(&format!("[[channels]]\nname = \"a*\"\n{empty} = []\nblocked = []\n"));
        let rule = &crate::options::hub(&loaded.settings).unwrap().channel_rules[0];
        let create = empty.starts_with("create");
        let (named, not_given) =
            if create { (&rule.create, &rule.enter) } else { (&rule.enter, &rule.create) };
        assert_eq!((named, not_given), (&nobody, &None), "{empty}");
        assert!(rule.blocked.is_empty());
        assert!(load(&render(&loaded)).settings.channels.rules == loaded.settings.channels.rules);
    }
}

#[test]
fn the_wrong_one_of_several_values_is_named() {
    let told = message(load_from(&["--listen=a:1,b:x", "--listen", "systemd"], &[]));
    let wrong =
        "server.listen = \"a:1,b:x,systemd\": \"b:x\" is wrong, expected a list of at least one";
    assert!(told.contains(wrong), "{told}");
    let file = "[server]\nlisten = [\"a:1\", \"unix:\"]\n\
                [http]\nfiles = [\"/=a\", \"/=b\"]\n\
                [[channels]]\nname = \"x\"\nblocked = [\"::1\", \"10.0.0.0/33\"]\n";
    let told = message(load_file(file));
    for wrong in [
        "line 2: server.listen = [\"a:1\", \"unix:\"]: \"unix:\" is wrong, expected a list",
        "line 4: http.files = [\"/=a\", \"/=b\"]: expected a list",
        "line 7: channels[0].blocked = [\"::1\", \"10.0.0.0/33\"]: \"10.0.0.0/33\" is wrong, expected a list",
    ] {
        assert!(told.contains(wrong), "{told}");
    }
}

#[test]
fn a_switch_says_what_it_may_be() {
    for flags in [&["--metrics", "no"][..], &["--metrics=no"]] {
        let told = message(load_from(flags, &[]));
        assert!(told.contains("http.metrics = \"no\": expected true or false"), "{told}");
    }
}

#[test]
fn permissions_are_octal_digits() {
    for (given, mode) in [("660", 0o660), ("0000", 0), ("0777", 0o777)] {
        let loaded = load_from(&["--unix-mode", given], &[]).unwrap();
        assert_eq!(loaded.settings.server.unix_mode, mode);
        let shown = format!("= \"{mode:04o}\"");
        let printed = render(&loaded);
        let mut lines = printed.lines().filter(|line| line.starts_with("unix_mode"));
        assert!(lines.any(|line| line.contains(&shown)), "{printed}");
    }
    for wrong in ["", "66", "0o660", "+660", "-066", "0668", "1777", "00660", "rw-rw----"] {
        let flag = format!("--unix-mode={wrong}");
        let told = message(load_from(&[&flag], &[]));
        assert!(told.contains("expected permissions as octal digits"), "{told}");
    }
}

#[test]
fn flags_stand_under_the_heading_of_their_section() {
    let help = add_arguments(Command::new("crosspoint")).render_help().to_string();
    let place = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text} in {help}"));
    assert!(place("[server] Listening") < place("--listen <HOST:PORT>"));
    assert!(place("--listen <HOST:PORT>") < place("[limits] The"));
    assert!(place("[limits] The") < place("--outbox-bytes-max <BYTES>"));
}

/// The bounds that no limit counts, and why.
const UNCOUNTED: &[(&str, &str)] = &[
    ("server.stop_ms_max", "the hub is gone when somebody could ask"),
    ("log.buffer_bytes_max", "the metric log_lines_dropped counts it"),
    ("auth.checks_max", "the others wait, and auth.checks_waiting_max counts those that may not"),
    ("socketio.upgrade_ms_max", "the session goes on by requests"),
    ("socketio.payload_bytes_max", "limits.frame_bytes_max counts it"),
    ("resume.retained_bytes_max", "the session fills its outbox, which is counted"),
    ("resume.tombstones_max", "nothing is lost but what a client would be told"),
    ("limits.receiver_bytes_per_second_min", "the receiver fills its outbox, which is counted"),
    ("limits.ipv4_prefix", "it says what one address is, and bounds nothing"),
    ("limits.ipv6_prefix", "it says what one address is, and bounds nothing"),
    ("limits.loopback_exempt", "it says for whom others hold, and bounds nothing"),
    ("limits.heartbeat_ms", "it says when a client is asked, and bounds nothing"),
];

#[test]
fn every_limit_is_a_setting_and_every_bound_is_counted_or_says_why_not() {
    let rows: BTreeSet<_> = rows().map(|row| row.key).collect();
    let rules: BTreeSet<_> =
        ChannelRule::fields().iter().map(|field| format!("channels.{}", field.key)).collect();
    for limit in Limit::ALL {
        let key = limit.key();
        // Two fields say who creates, and two who enters.
        let of_a_rule = rules.contains(key) || rules.contains(&format!("{key}_by"));
        assert!(rows.contains(key) || of_a_rule, "{key} is no setting");
    }
    let counted: BTreeSet<_> = Limit::ALL.iter().map(|limit| limit.key()).collect();
    assert_eq!(counted.len(), Limit::ALL.len(), "no two limits have the same setting");
    let bounds = rows.iter().filter(|key| key.starts_with("limits.") || key.ends_with("_max"));
    let uncounted: BTreeSet<_> = bounds.filter(|key| !counted.contains(*key)).copied().collect();
    assert_eq!(uncounted, UNCOUNTED.iter().map(|(key, _)| *key).collect());
}

/// The sources of the crates that keep to the limits.
fn sources() -> Vec<(PathBuf, String)> {
    let crates = ["hub", "auth", "proto", "gateways", "net", "control"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut directories: Vec<_> =
        crates.iter().map(|name| root.join(format!("../crosspoint-{name}/src"))).collect();
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if !path.ends_with("crosspoint-hub/src/limit.rs") {
                sources.push((path.clone(), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    sources
}

#[test]
fn every_limit_is_counted_somewhere_and_none_is_named_by_a_text() {
    let sources = sources();
    for limit in Limit::ALL {
        let used = format!("Limit::{limit:?}");
        assert!(sources.iter().any(|(_, source)| source.contains(&used)), "{limit} is not counted");
        let texts = [format!("\"{}\"", limit.label()), format!("\"{}\"", limit.key())];
        for (path, source) in &sources {
            // A field of the same name may be shown for debugging.
            let source = source.replace(&format!(".field({}", texts[0]), "");
            let named = texts.iter().any(|text| source.contains(text));
            assert!(!named, "{} names {limit} by a text", path.display());
        }
    }
}
