"""The container: the static program under the nearest isolation always, and with `make image-test` the
image itself, built from the Dockerfile. Both serve the sample as it is, on port 443."""

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from support import tree
from support.namespace import entered
from support.server import children_of, workers_of
from support.wait import until

from confined import HEALTH, RELOAD, STATIC, USER, Chroot, Mounts, Podman, World, run, sample

BUILD = Path(os.environ.get("BUILD", tree.ROOT / "build"))
DOMAINS = ("example.com", "example.net", "example.org")
MOST_BYTES = 3_200_000
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a container here"),
    pytest.mark.skipif(
        not STATIC.is_file(), reason="not built: with the sanitizers or the system's mbedTLS"
    ),
]


@pytest.fixture(scope="session", name="built")
def fixture_built():
    """The folder in which the image was built; it is gone at the end."""
    if not os.environ.get("IMAGE"):
        pytest.skip("it takes minutes: make image-test")
    folder = BUILD / "image"
    shutil.rmtree(folder, ignore_errors=True)
    script = tree.ROOT / "tests" / "image" / "build"
    try:
        done = subprocess.run([script, folder], capture_output=True, timeout=1500, check=False,
                              text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(name="world")
def fixture_world(tmp_path, authority):
    with entered(tmp_path) as namespace:
        yield World(namespace, authority)


@pytest.fixture(name="mounts")
def fixture_mounts(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "mounts").mkdir()
    return Mounts(tmp_path / "mounts")


@pytest.fixture(name="chroot")
def fixture_chroot(world, mounts, tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    container = Chroot(world.namespace, mounts, folder)
    yield container
    container.remove()


@pytest.fixture(name="podman")
def fixture_podman(world, mounts, built):
    container = Podman(world.namespace, mounts, built)
    yield container
    container.remove()


@pytest.fixture(name="container", params=["chroot", "podman"])
def fixture_container(request, authority):
    container = request.getfixturevalue(request.param)
    container.mounts.certify(authority, *(f"mta-sts.{domain}" for domain in DOMAINS))
    container.mounts.configure(sample())
    return container


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def wait_for(world, line, domain, port=443):
    """After a reload the old workers may still answer who came before they heard that they are to go."""

    def is_there():
        with contextlib.suppress(AssertionError):
            return line in world.fetch(domain, port)
        return False

    until(is_there, f"{line.strip()} from {domain}", 30)


def test_sample_is_served_reloaded_and_stopped(container, world):
    server = container.start()
    for domain in DOMAINS:
        printed = run(STATIC, "policy", "-c", container.mounts.config / "mta-sts.yaml", domain)
        assert printed.stdout.startswith("version: STSv1\n") and printed.returncode == 0
        assert world.fetch(domain) == printed.stdout
    assert container.healthy().returncode == 0
    assert "mx: new.example.com\n" not in world.fetch("example.com")

    text = sample().replace("      - mail.example.com\n", "      - new.example.com\n")
    container.mounts.configure(text)
    server.wait_line(r"ready: generation 2,", seconds=30)
    wait_for(world, "mx: new.example.com\n", "example.com")
    container.stop()


def test_reload_tells_what_became_of_it(container, world):
    """With the place for the status that the documents give it."""
    container.mounts.configure(sample().replace("watch: true", "watch: false"))
    server = container.start(tmpfs="/run/mta-sts")
    text = sample().replace("      - mail.example.com\n", "      - new.example.com\n")
    container.mounts.configure(text.replace("watch: true", "watch: false"))
    done = container.execute(*RELOAD)
    assert (done.returncode, done.stdout.splitlines()[0][:20]) == (0, "serves generation 2,"), done
    wait_for(world, "mx: new.example.com\n", "example.com")
    server.expect("unknown key", "reload refused", "no certificates are", r"^\s+(why|fix): ")
    container.mounts.configure("domians: {}\n")
    done = container.execute(*RELOAD)
    assert done.returncode == 1 and "unknown key" in done.stdout + done.stderr, done
    wait_for(world, "mx: new.example.com\n", "example.com")
    container.stop()


def test_reload_needs_a_place_for_the_status(container, world):
    """Without one it serves, and reload says what is missing."""
    container.start()
    done = container.execute(*RELOAD)
    assert done.returncode == 1 and "/run/mta-sts" in done.stderr, done
    assert world.fetch("example.com")
    container.stop()


def test_it_is_unwell_when_it_does_not_answer(container):
    container.start()
    container.mounts.configure(sample().replace('# listen: "[::]:443"', 'listen: "127.0.0.1:444"'))
    assert container.execute(*HEALTH).returncode == 1


def test_it_is_unwell_when_it_may_read_no_key(container, world):
    """The mounted keys belong to root, as those of certbot do: it runs, and the engine sees that it serves
    nothing."""
    for path in (container.mounts.certs, *container.mounts.certs.rglob("*")):
        os.chown(path, 0, 0)
        path.chmod(0o700 if path.is_dir() else 0o600)
    server = container.start()
    server.expect("Permission denied", "no certificate with its key", "left out", r"^\s+(why|fix): ")
    done = container.healthy()
    assert done.returncode == 1, done.stdout + done.stderr
    done = container.execute(*HEALTH)
    assert "no certificate is served, and /config/../certs cannot be read by user 65532" in done.stdout, done
    container.stop()


def test_it_has_no_rights(container):
    container.start()
    supervisor = container.supervisor()
    workers = children_of(supervisor)
    assert workers
    for pid in (supervisor, *workers):
        status = status_of(pid)
        assert status["Uid"].split() == status["Gid"].split() == [str(USER)] * 4
        assert set(status["Groups"].split()) <= {str(USER)}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        for key in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[key], 16) == 0, (pid, key)
    mounted = Path(f"/proc/{supervisor}/mountinfo").read_text()
    options = dict(re.findall(r"^\S+ \S+ \S+ \S+ (/\S*) (\S+)", mounted, re.M))
    for place in ("/", "/config", "/certs"):
        assert "ro" in options[place].split(","), (place, options)
    root = Path(f"/proc/{supervisor}/root")
    files = {path.name for path in root.iterdir() if path.is_file()}
    assert files - {"LICENSES", "mta-sts-httpd.spdx.json", ".containerenv"} == {"mta-sts-httpd"}


# The image.


def test_image_is_small_and_says_what_it_is(podman):
    image = podman.image()
    print(f"the image has {image['Size']} bytes")
    assert image["Size"] <= MOST_BYTES
    config = image["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert list(config["ExposedPorts"]) == ["443/tcp"]
    assert image["Healthcheck"]["Test"] == ["CMD", *HEALTH]
    version = run(STATIC, "--version").stdout.split()[1]
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert (labels["version"], labels["revision"], labels["licenses"]) == (version, "tested", "ISC")
    assert labels["title"] == "mta-sts-httpd" and labels["description"] and labels["vendor"]


def test_bill_of_materials_is_that_of_the_program(podman):
    with podman.files("latest") as folder:
        bill = json.loads((folder / "mta-sts-httpd.spdx.json").read_text())
        digest = hashlib.sha256((folder / "mta-sts-httpd").read_bytes()).hexdigest()
    (program,) = [package for package in bill["packages"] if package["SPDXID"] == "SPDXRef-program"]
    assert program["checksums"] == [{"algorithm": "SHA256", "checksumValue": digest}]
    assert {"mbedtls", "libyaml-dev", "libc6-dev"} <= {package["name"] for package in bill["packages"]}


def test_image_for_arm64_is_of_the_same_dockerfile(podman, setup):
    """Cross-compiled on amd64: it has its own bill of materials, and its program runs under the emulator."""
    if os.uname().machine != "x86_64":
        pytest.skip("only on amd64 it is cross-compiled")
    image = podman.image("arm64")
    assert (image["Architecture"], image["Os"]) == ("arm64", "linux")
    print(f"the image for arm64 has {image['Size']} bytes")
    assert image["Size"] <= MOST_BYTES
    with podman.files("arm64") as folder:
        parts = json.loads((folder / "mta-sts-httpd.spdx.json").read_text())["packages"]
        assert {"mbedtls", "libyaml-dev", "libc6-dev-arm64-cross"} <= {part["name"] for part in parts}
        assert (folder / "etc/ssl/certs/ca-certificates.crt").is_file()
        program = folder / "mta-sts-httpd"
        assert program.read_bytes()[18:20] == b"\xb7\0", "it is a program for arm64"
        if shutil.which("qemu-aarch64") is None:
            pytest.skip("no emulator is here")
        setup.certify("example.com")
        config = setup.write(["example.com"])
        here, there = (run(*words, "check", "-c", config) for words in ([STATIC], ["qemu-aarch64", program]))
        assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)
        here, there = (run(*words, "--version").stdout for words in ([STATIC], ["qemu-aarch64", program]))
        assert there.split()[:2] == here.split()[:2]


def test_program_in_the_image_is_whole(podman, world, authority):
    """It is built with AWS-LC, and has Debian's list, by which a server with a certificate of our own is found out; and with
    another list in its place it is good."""
    podman.mounts.certify(authority, *(f"mta-sts.{domain}" for domain in DOMAINS))
    podman.mounts.configure(sample())
    probe = ["/mta-sts-httpd", "probe", "-c", "/config/mta-sts.yaml", "--timeout", "1s", "--connect", "127.0.0.1:443",
             "example.com"]
    podman.start()
    assert "\ncryptography: AWS-LC " in podman.execute("/mta-sts-httpd", "--version").stdout
    bundle = Path(f"/proc/{podman.supervisor()}/root/etc/ssl/certs/ca-certificates.crt").read_text()
    assert bundle.count("BEGIN CERTIFICATE") > 100
    said = podman.execute(*probe)
    assert "an authority that is not trusted" in said.stdout + said.stderr, said
    podman.stop()
    podman.remove()
    shutil.copy(authority.root_file, podman.mounts.config / "root.pem")
    podman.start(options=[f"--volume={podman.mounts.config}/root.pem:/etc/ssl/certs/ca-certificates.crt:ro"])
    said = podman.execute(*probe)
    assert "not trusted" not in said.stdout + said.stderr and " enforce " in said.stdout, said
    podman.stop()


def test_image_is_reproducible(podman):
    """The second was compiled anew, from another context."""
    first, second = podman.image("again"), podman.image()
    assert first["RootFS"]["Layers"] == second["RootFS"]["Layers"]
    assert len(first["RootFS"]["Layers"]) == 1


def test_keys_of_root_are_read_by_a_supervisor_of_root(podman, world, authority):
    """The other way that the compose file names: nothing may be readable for the workers."""
    text = (tree.ROOT / "config" / "docker" / "compose.yaml").read_text()
    (user,) = re.findall(r'^ *# user: "(.*)"$', text, re.M)
    (capabilities,) = re.findall(r"^ *# cap_add: \[(.*)\]$", text, re.M)
    podman.mounts.certify(authority, *(f"mta-sts.{domain}" for domain in DOMAINS))
    podman.mounts.configure(sample())
    for path in podman.mounts.root.rglob("*"):
        os.chown(path, 0, 0)
        path.chmod(0o700 if path.is_dir() else 0o600)
    added = [f"--cap-add={name.strip()}" for name in capabilities.split(",")]
    podman.start(options=[f"--user={user}", *added])
    assert "mode: enforce\n" in world.fetch("example.com")
    for pid in workers_of(podman.supervisor()):
        status = status_of(pid)
        assert int(status["CapEff"], 16) == 0 and status["Uid"].split() == ["65534"] * 4
    podman.stop()


# The recipes.


def test_dockerfile_says_the_version_of_the_program():
    version = re.search(r"^VERSION := (\S+)$", (tree.ROOT / "Makefile").read_text(), re.M)[1]
    dockerfile = (tree.ROOT / "Dockerfile").read_text()
    assert f'org.opencontainers.image.version="{version}"' in dockerfile
    for kind in kubernetes():
        if kind["kind"] == "Deployment":
            assert pod_of(kind)["image"].endswith(f":{version}")


def test_compose_file_is_of_this_image():
    path = tree.ROOT / "config" / "docker" / "compose.yaml"
    dockerfile = (tree.ROOT / "Dockerfile").read_text()
    (service,) = yaml.safe_load(path.read_text())["services"].values()
    assert (path.parent / service["build"] / "Dockerfile").samefile(tree.ROOT / "Dockerfile")
    inside = [volume.split(":")[1] for volume in service["volumes"]]
    assert inside == ["/config", "/certs"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    (exposed,) = re.findall(r"^EXPOSE (\d+)$", dockerfile, re.M)
    assert [port.split(":")[1] for port in service["ports"]] == [exposed]
    assert service["tmpfs"] == ["/run/mta-sts"], "for the status, which reload reads"
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert "user" not in service, "the image names one"
    for word in ("ENTRYPOINT", "CMD"):
        arguments = re.search(rf"^{word} (\[.*\])$", dockerfile, re.M)[1]
        assert all(not part.startswith("/config") or part == HEALTH[-1]
                   for part in yaml.safe_load(arguments))


def kubernetes():
    text = (tree.ROOT / "config" / "kubernetes" / "mta-sts.yaml").read_text()
    return list(yaml.safe_load_all(text))


def pod_of(deployment):
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


def test_kubernetes_manifest(chroot, world, authority):
    """Its configuration, arguments, port and probes, with the secret that is late and then renewed, and
    with a config map that changes."""
    found = {kind["kind"]: kind for kind in kubernetes()}
    names = {mount["mountPath"] for mount in pod_of(found["Deployment"])["volumeMounts"]}
    assert names == {"/config", "/certs", "/run/mta-sts"}
    assert found["Deployment"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == USER
    container = pod_of(found["Deployment"])
    (port,) = [port["containerPort"] for port in container["ports"]]
    hosts = found["Certificate"]["spec"]["dnsNames"]
    contents = found["ConfigMap"]["data"]
    mounts = chroot.mounts

    mounts.publish(mounts.config, "..1", contents)
    server = chroot.start(container["args"])
    server.expect("warning: no certificate", "^    (why|fix): ")
    for probe in ("readinessProbe", "livenessProbe"):
        done = chroot.execute(*container[probe]["exec"]["command"])
        assert done.returncode == 0, done.stdout + done.stderr

    leaf = authority.issue(*hosts)
    mounts.publish(mounts.certs, "..1", {"tls.crt": leaf.chain_pem(), "tls.key": leaf.key_pem()})
    server.wait_line(r"ready: generation 2,", seconds=30)
    for host in hosts:
        wait_for(world, "mode: testing\n", host.removeprefix("mta-sts."), port)

    changed = {name: data.replace("testing", "enforce") for name, data in contents.items()}
    mounts.publish(mounts.config, "..2", changed)
    server.wait_line(r"ready: generation 3,", seconds=30)
    for host in hosts:
        wait_for(world, "mode: enforce\n", host.removeprefix("mta-sts."), port)
