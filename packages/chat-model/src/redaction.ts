/** What stands where a secret stood. */
const CENSORED = "[redacted]";

/** A name that says that its value is a secret, as in `API_KEY=`, `"password": "`, `authorization:`. */
const SECRET_NAME =
  "(?:api[_-]?key|private[_-]?key|signer[_-]?key|secret|passw(?:or)?d|passphrase|credential|mnemonic|seed[_-]?phrase|(?:access|auth|api|refresh|bearer|session)[_-]?token)[\\w-]{0,20}";

/** Each shape of a secret, with what replaces it. All are linear: the text may be hostile. */
const SHAPES: readonly (readonly [RegExp, string])[] = [
  // Line by line, which a JSON text writes as \n; the end may have been cut off.
  [
    /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:(?:\s|\\[nr]){1,4}[A-Za-z0-9+/=]{1,100}){0,200}(?:(?:\s|\\[nr]){1,4}-----END [A-Z ]{0,40}PRIVATE KEY-----)?/g,
    CENSORED,
  ],
  // User and password of a URL: the name stays, it says who was refused.
  [/(:\/\/[^\s/:@"']{0,200}):[^\s/@"']{1,500}@/g, `$1:${CENSORED}@`],
  [
    new RegExp(
      `(\\\\?["']?${SECRET_NAME}\\\\?["']?\\s{0,3}[:=]\\s{0,3})(\\\\?")(?:(?!\\2)[^\\n]){1,2000}(\\2|$)`,
      "gim",
    ),
    `$1$2${CENSORED}$2`,
  ],
  [
    new RegExp(`(${SECRET_NAME}\\s{0,3}[:=]\\s{0,3})(?!\\\\?["']|\\[redacted\\])[^\\s,;&"'}]{1,2000}`, "gi"),
    `$1${CENSORED}`,
  ],
  [/\b((?:Bearer|Basic)\s{1,3})[\w.~+/=-]{8,2000}/gi, `$1${CENSORED}`],
  [/\b(authorization\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?)(?!Bearer|Basic)[^\s,;"'}]{1,2000}/gi, `$1${CENSORED}`],
  [/\b(?:sk|pk|rk)-[\w-]{16,}|\b(?:gh[opsur]_|github_pat_|glpat-|npm_|xox[a-z]-|hf_)[\w-]{10,}/g, CENSORED],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}/g, CENSORED],
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{0,1000}/g, CENSORED],
  // A private key looks like a transaction's hash: both go.
  [/\b(?:0x)?[0-9a-f]{64}\b/gi, CENSORED],
];

/** A key in the path of a node's address, as providers give them out. */
const KEY_SEGMENT = /\/(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{20,}/gi;

/** A text without what looks like a key, a password or a token in it: for those who may not know any. */
export function redactSecrets(text: string): string {
  const shaped = SHAPES.reduce((censored, [shape, replacement]) => censored.replace(shape, replacement), text);
  return shaped.replace(/\b(?:https?|wss?):\/\/[^\s"'<>]{1,2000}/gi, (url) => url.replace(KEY_SEGMENT, `/${CENSORED}`));
}
