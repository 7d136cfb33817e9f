# The base that the images are tried on: the pinned one where a registry answers, else one made from Debian's packages.
# Read by .ci/images; it uses its $work and $arch.

base() {  # names it in BASE, which images/build reads
  local pinned debian=localhost/army-base:bookworm
  pinned=$(sed -n 's/^ARG BASE=//p' agent/Dockerfile)
  [ "$pinned" = "$(sed -n 's/^ARG BASE=//p' bot/Dockerfile)" ] || { echo "the two images have different bases"; exit 1; }
  if podman image exists "$pinned" || timeout 60 podman pull --quiet --arch "$arch" "$pinned" >/dev/null 2>"$work/pull"; then
    BASE=$pinned
  elif podman image exists "$debian"; then
    BASE=$debian
  else
    echo "== no base from a registry ($(tail -n 1 "$work/pull" | tail -c 120)): making one from Debian's packages"
    strapped "$debian"
    BASE=$debian
  fi
  export BASE
  podman run --rm --network=none --entrypoint sh "$BASE" -c true >"$work/log" 2>&1 ||
    cannot "podman does not start one ($(tail -n 1 "$work/log" | tail -c 200))"
  echo "== base: $BASE for $arch"
}

strapped() {  # an image of this name, of Debian's packages of today
  need debootstrap || again install debootstrap || cannot "no registry answers, and debootstrap could not be installed"
  again strap || { tail -n 5 "$work/log"; cannot "no registry answers, and Debian's packages did not make a base"; }
  rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/var/log/*
  tar -C "$work/root" --exclude='./dev/*' -c . | podman import --quiet --arch "$arch" - "$1" >/dev/null
  rm -rf "$work/root"
}

strap() {
  rm -rf "$work/root"  # half a tree is no beginning for another try
  timeout $((300 * patience)) debootstrap --arch "$arch" --variant=minbase --include=python3,python3-venv,ca-certificates \
    bookworm "$work/root" >"$work/log" 2>&1
}
