# What this machine has, and how it gets what it lacks. Read by the scripts next to it; it knows nothing of images.

need() { command -v "$1" >/dev/null 2>&1; }

again() {  # does it up to three times: registries and mirrors have bad minutes
  for try in 1 2 3; do
    "$@" && return
    echo "$1 failed (try $try)"; sleep 5
  done
  return 1
}

cannot() { echo "No containers can be had here: $1."; exit 3; }

packages() {  # what apt is asked to do, with the rights for it and a fresh list
  if [ "$(id -u)" = 0 ]; then sudo=""; else sudo="sudo"; fi
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get -o DPkg::Lock::Timeout=60 update -qq && $sudo apt-get -o DPkg::Lock::Timeout=60 -qq "$@" >/dev/null
}

install() { packages install -y --no-install-recommends "$@"; }

architecture() {  # this machine's, by the name that registries and Debian have for it
  case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac
}
