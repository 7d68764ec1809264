import type { EscapeCase } from "./case.ts";

const connect = (options: string): string =>
  `const s=require("node:net").connect(${options},()=>s.end("hello"));s.on("error",()=>process.exit(1))`;

/** Ways to talk to somebody. */
export const network: readonly EscapeCase[] = [
  { name: "TCP to loopback", language: "javascript", code: (w) => connect(`${w.tcpPort},"127.0.0.1"`) },
  { name: "TCP to another loopback address", language: "javascript", code: (w) => connect(`${w.tcpPort},"127.0.0.2"`) },
  { name: "TCP to any address", language: "javascript", code: (w) => connect(`${w.tcpPort},"0.0.0.0"`) },
  {
    name: "HTTP by fetch",
    language: "javascript",
    code: (w) => `fetch("http://127.0.0.1:${w.tcpPort}").catch(()=>{}); setTimeout(()=>process.exit(),500)`,
  },
  {
    name: "TCP by bash",
    language: "shell",
    code: (w) => `bash -c 'exec 3<>/dev/tcp/127.0.0.1/${w.tcpPort}; echo hello >&3'`,
  },
  {
    name: "TCP by a TypeScript program",
    language: "typescript",
    code: (w) =>
      `import net from "node:net"; const port: number = ${w.tcpPort}; net.connect(port, "127.0.0.1").on("error", () => {}).on("connect", () => process.exit());`,
  },
  {
    name: "TCP by a child of a child",
    language: "shell",
    code: (w) => `sh -c "sh -c \\"bash -c 'echo > /dev/tcp/127.0.0.1/${w.tcpPort}'\\""`,
  },
  {
    name: "UDP datagram",
    language: "javascript",
    code: (w) =>
      `const s=require("node:dgram").createSocket("udp4");s.send("hello",${w.udpPort},"127.0.0.1",()=>s.close());s.on("error",()=>{})`,
  },
  { name: "UDP by bash", language: "shell", code: (w) => `bash -c 'echo hello > /dev/udp/127.0.0.1/${w.udpPort}'` },
  {
    name: "secrets by DNS",
    language: "javascript",
    code: (w) =>
      `const r=new (require("node:dns").Resolver)({timeout:300,tries:1});r.setServers(["127.0.0.1:${w.udpPort}"]);r.resolve4("secret.example",()=>process.exit())`,
  },
  { name: "Unix socket by path", language: "javascript", code: (w) => connect(JSON.stringify(w.unixSocket)) },
  {
    name: "abstract Unix socket",
    language: "javascript",
    code: (w) => connect(JSON.stringify(`\0${w.abstractSocket}`)),
  },
];
