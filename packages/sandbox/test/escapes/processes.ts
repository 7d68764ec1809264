import type { EscapeCase } from "./case.ts";

/** Ways to reach other processes, to outlive the run, and to learn secrets. */
export const processes: readonly EscapeCase[] = [
  { name: "SIGTERM by Node", language: "javascript", code: (w) => `process.kill(${w.victimPid},"SIGTERM")` },
  { name: "SIGUSR2 by the shell", language: "shell", code: (w) => `kill -USR2 ${w.victimPid}` },
  { name: "SIGKILL", language: "shell", code: (w) => `kill -9 ${w.victimPid}` },
  { name: "SIGSTOP", language: "shell", code: (w) => `kill -STOP ${w.victimPid}` },
  { name: "SIGKILL to everything", language: "shell", code: () => "kill -9 -1", harmful: true },
  {
    name: "SIGKILL to the parent",
    language: "shell",
    code: () => "kill -9 $PPID",
    harmful: true,
    bounds: ({ end }) => end === "signalled" || end === "exited",
  },
  {
    name: "SIGKILL to the first process",
    language: "shell",
    code: () => "kill -9 1; kill -TERM 1; echo still",
    harmful: true,
  },
  {
    name: "a limit of another process",
    language: "shell",
    code: (w) => `prlimit --pid ${w.victimPid} --core=4096:4096`,
  },
  {
    name: "a process left in the background",
    language: "shell",
    code: (w) => `sleep ${w.sleepS} >/dev/null 2>&1 </dev/null &`,
  },
  {
    name: "a process in a session of its own",
    language: "shell",
    code: (w) => `setsid -f sleep ${w.sleepS} >/dev/null 2>&1 </dev/null`,
  },
  {
    name: "a detached child",
    language: "javascript",
    code: (w) => `require("node:child_process").spawn("sleep",["${w.sleepS}"],{detached:true,stdio:"ignore"}).unref()`,
  },
  { name: "command lines", language: "shell", code: () => "cat /proc/*/cmdline" },
  { name: "another process's variables", language: "shell", code: (w) => `cat /proc/${w.victimPid}/environ` },
  {
    name: "every process's variables",
    language: "javascript",
    code: () =>
      `const f=require("node:fs");for(const p of f.readdirSync("/proc"))try{console.log(f.readFileSync("/proc/"+p+"/environ","utf8"))}catch{}`,
  },
  { name: "variables", language: "javascript", code: () => "console.log(process.env)" },
  { name: "variables by the shell", language: "shell", code: () => "env" },
  { name: "variables by a child's /proc", language: "shell", code: () => "cat /proc/self/environ" },
  { name: "variables left as a result", language: "shell", code: () => "env > result" },
  {
    name: "descriptors that were left open",
    language: "javascript",
    code: () =>
      `const f=require("node:fs");for(const n of f.readdirSync("/proc/self/fd"))try{const t=f.readlinkSync("/proc/self/fd/"+n);if(/^\\/(?!proc|dev|workspace)/.test(t)||(/^(pipe|socket)/.test(t)&&Number(n)>2&&f.fstatSync(Number(n)).isSocket()))console.log("ESCAPED",n,t)}catch{}`,
    harmful: true,
  },
];
