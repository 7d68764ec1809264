import type { EscapeCase } from "./case.ts";

/** Ways to read or write what is not in the workspace. */
export const files: readonly EscapeCase[] = [
  {
    name: "read by absolute path",
    language: "javascript",
    code: (w) => `console.log(require("node:fs").readFileSync(${JSON.stringify(w.secretFile)},"utf8"))`,
  },
  { name: "read by cat", language: "shell", code: (w) => `cat ${w.secretFile}` },
  { name: "read through ..", language: "shell", code: (w) => `cat ../../../../../../../../..${w.secretFile}` },
  { name: "read through a symbolic link", language: "shell", code: (w) => `ln -s ${w.secretFile} link && cat link` },
  { name: "read through a linked folder", language: "shell", code: (w) => `ln -s ${w.folder} d && cat d/*` },
  { name: "a symbolic link left as a result", language: "shell", code: (w) => `ln -s ${w.secretFile} result` },
  { name: "a hard link left as a result", language: "shell", code: (w) => `ln ${w.secretFile} result` },
  {
    name: "search",
    language: "shell",
    code: (w) => `find /tmp -name secret-token 2>/dev/null -path '${w.folder}/*' -exec cat {} +`,
  },
  {
    name: "read through another process's root",
    language: "shell",
    code: (w) => `cat /proc/${w.victimPid}/root${w.secretFile}`,
  },
  {
    name: "read through another process's folder",
    language: "shell",
    code: (w) => `cat /proc/${w.victimPid}/cwd/secret-token`,
  },
  { name: "read through our own root", language: "shell", code: (w) => `cat /proc/self/root${w.secretFile}` },
  {
    name: "read what another process has open",
    language: "javascript",
    code: (w) =>
      `const f=require("node:fs"),d="/proc/${w.victimPid}/fd/";for(const n of f.readdirSync(d))try{if(f.statSync(d+n).isFile())console.log(f.readFileSync(d+n,"utf8"))}catch{}`,
  },
  {
    name: "a new file",
    language: "javascript",
    code: (w) => `require("node:fs").writeFileSync(${JSON.stringify(`${w.folder}/new`)},"x")`,
  },
  { name: "more in a file", language: "shell", code: (w) => `echo more >> ${w.folder}/kept` },
  { name: "a file removed", language: "shell", code: (w) => `rm -f ${w.folder}/kept` },
  { name: "a file renamed", language: "shell", code: (w) => `mv ${w.folder}/kept ${w.folder}/moved` },
  { name: "a mode changed", language: "shell", code: (w) => `chmod 0777 ${w.folder}/kept` },
  { name: "a new folder", language: "shell", code: (w) => `mkdir ${w.folder}/sub` },
  { name: "a write through a linked folder", language: "shell", code: (w) => `ln -s ${w.folder} d && echo x > d/new` },
  {
    name: "a write through a descriptor's path",
    language: "shell",
    code: (w) => `exec 7<${w.folder} && echo x > /proc/self/fd/7/new`,
  },
  {
    name: "the system's programs",
    language: "shell",
    code: () => "touch /usr/bin/escaped && echo ESCAPED",
    harmful: true,
  },
  {
    name: "the system's programs, mounted anew",
    language: "shell",
    code: () => "mount -o remount,rw /usr && touch /usr/bin/escaped && echo ESCAPED",
    harmful: true,
  },
  {
    name: "the runner",
    language: "shell",
    code: () => "(echo x > /sandbox/node || rm /sandbox/runner.mts) 2>/dev/null && echo ESCAPED",
    harmful: true,
  },
  { name: "a block device", language: "shell", code: () => "mknod disk b 8 0 && echo ESCAPED", harmful: true },
  {
    name: "a namespace of one's own",
    language: "shell",
    code: () => "unshare --user --map-root-user --mount true && echo ESCAPED",
    harmful: true,
  },
  {
    name: "kernel settings",
    language: "shell",
    code: () => "echo 1 > /proc/sys/kernel/sysrq && echo ESCAPED; echo x > /proc/sysrq-trigger && echo ESCAPED",
    harmful: true,
  },
  {
    name: "a set-uid program",
    language: "shell",
    code: () =>
      "cp /usr/bin/id i && chmod 4755 i && ./i -u | grep -qx 0 && echo ESCAPED; su -c true </dev/null && echo ESCAPED",
    harmful: true,
  },
];
