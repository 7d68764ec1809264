import type { EscapeCase } from "./case.ts";

const MIB = 1024 * 1024;

/** Ways to take more than was given. All would harm the machine; each must end within its bounds. */
const attempts: readonly EscapeCase[] = [
  { name: "fork bomb", language: "shell", code: () => "f() { f | f & }; f; wait", limits: { wallMs: 2_000 } },
  {
    name: "fork bomb by Node",
    language: "javascript",
    code: () =>
      `const {spawn}=require("node:child_process");setInterval(()=>spawn("sleep",["100"]).on("error",()=>{}),0)`,
    limits: { wallMs: 2_000 },
  },
  {
    name: "threads without end",
    language: "javascript",
    code: () =>
      `const {Worker}=require("node:worker_threads");setInterval(()=>{try{new Worker("setInterval(()=>{},1e9)",{eval:true}).on("error",()=>{})}catch{}},1)`,
    limits: { wallMs: 3_000 },
    bounds: ({ memoryBytesMax }) => memoryBytesMax < 600 * MIB,
  },
  {
    name: "memory of one process",
    language: "javascript",
    code: () => "const a=[];for(;;)a.push(Buffer.alloc(1e6,1))",
    bounds: ({ end, memoryBytesMax }) => end === "out_of_memory" && memoryBytesMax < 1024 * MIB,
  },
  {
    name: "memory of many processes",
    language: "shell",
    code: () => "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/dev/null bs=100M count=1000 & done; wait",
    bounds: ({ end, memoryBytesMax }) => end === "out_of_memory" && memoryBytesMax < 1024 * MIB,
  },
  {
    name: "the disk",
    language: "shell",
    code: () =>
      "i=0; while dd if=/dev/zero of=fill$i bs=1M count=64; do i=$((i+1)); done 2>/dev/null; du -sm . | cut -f1",
    bounds: ({ stdout }) => Number(stdout) > 0 && Number(stdout) <= 17,
  },
  {
    name: "shared memory",
    language: "shell",
    code: () => "dd if=/dev/zero of=/dev/shm/fill bs=1M count=64 2>/dev/null; du -sk /dev/shm | cut -f1",
    bounds: ({ stdout }) => Number(stdout) <= 64,
  },
  {
    name: "every folder that can be written",
    language: "shell",
    code: () =>
      "for d in / /dev /usr /sandbox /proc /usr/local; do dd if=/dev/zero of=$d/fill bs=1M count=8 2>/dev/null && echo ESCAPED $d; done",
  },
  {
    name: "a file of a terabyte",
    language: "javascript",
    code: () => `try{require("node:fs").truncateSync("main",2**40);console.log("ESCAPED")}catch{process.exit(3)}`,
  },
  {
    name: "more files than anyone needs",
    language: "shell",
    code: () => "i=0; while :; do i=$((i+1)); : > f$i; done",
    limits: { wallMs: 1_500 },
  },
  {
    name: "a bottomless folder",
    language: "shell",
    code: () => "while mkdir d && cd d; do :; done",
    limits: { wallMs: 1_500 },
  },
  {
    name: "endless output",
    language: "shell",
    code: () => "yes",
    bounds: ({ end, stdout }) => end === "output_exceeded" && stdout.length === MIB,
  },
  {
    name: "endless errors",
    language: "shell",
    code: () => "yes >&2",
    bounds: ({ end, stderr }) => end === "output_exceeded" && stderr.length === MIB,
  },
  {
    name: "endless time",
    language: "shell",
    code: () => "while :; do :; done",
    limits: { wallMs: 500 },
    bounds: ({ end }) => end === "timed_out",
  },
  {
    name: "deaf to signals",
    language: "shell",
    code: () => "trap '' TERM INT HUP; while :; do sleep 1; done",
    limits: { wallMs: 500 },
    bounds: ({ end }) => end === "timed_out",
  },
  {
    name: "stopped, so that it never ends",
    language: "shell",
    code: () => "kill -STOP $$",
    limits: { wallMs: 500 },
    bounds: ({ end }) => end === "timed_out",
  },
  {
    name: "a forged report",
    language: "javascript",
    code: () =>
      `const f=require("node:fs");try{f.writeFileSync("/proc/"+process.ppid+"/fd/4",'{"changed":{"../../etc/passwd":5},"removed":7}')}catch{}process.kill(process.ppid,9)`,
    bounds: ({ changed, removed }) => Object.keys(changed).length === 0 && removed.length === 0,
  },
];

/** @see attempts */
export const resources: readonly EscapeCase[] = attempts.map((one) => ({ ...one, harmful: true }));
