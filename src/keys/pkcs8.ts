import type { KeyKind } from './algorithms.ts'

const PEM = /-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END \1-----/

/** The DER of a PKCS #8 private key (RFC 5958), or a few words on what the text is instead. */
export function pkcs8FromPem(pem: string): Uint8Array | string {
  const [, label, body] = PEM.exec(pem) ?? []
  if (label === undefined || body === undefined) return pem === '' ? 'an empty string' : 'a string that is not PEM'
  if (label !== 'PRIVATE KEY') return `PEM of a ${label.toLowerCase()}`
  try {
    return Uint8Array.from(atob(body.replace(/\s+/g, '')), (character) => character.charCodeAt(0))
  } catch {
    return 'PEM whose content is not base64'
  }
}

interface DerValue {
  readonly tag: number
  readonly content: Uint8Array
  readonly rest: Uint8Array
}

/** One tag, length and value (X.690 section 8.1); enough for the definite lengths that DER has. */
function readDer(bytes: Uint8Array): DerValue | undefined {
  const tag = bytes[0]
  let length = bytes[1]
  if (tag === undefined || length === undefined) return undefined
  let start = 2
  if (length >= 0x80) {
    const count = length - 0x80
    start += count
    length = bytes.subarray(2, start).reduce((total, byte) => total * 256 + byte, 0)
  }
  if (start + length > bytes.length) return undefined
  return { tag, content: bytes.subarray(start, start + length), rest: bytes.subarray(start + length) }
}

const KIND_BY_OID: Readonly<Record<string, KeyKind>> = {
  '2a864886f70d010101': 'RSA',
  '2a8648ce3d030107': 'P-256',
  '2b81040022': 'P-384',
  '2b81040023': 'P-521',
  '2b6570': 'Ed25519',
}

function hex(bytes: Uint8Array | undefined): string {
  return Array.from(bytes ?? [], (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** What kind of key a PKCS #8 structure holds: version, algorithm (with its curve), key. */
export function kindFromPkcs8(der: Uint8Array): { kind: KeyKind; rsaBits?: number } | undefined {
  const outer = readDer(der)
  const version = outer && readDer(outer.content)
  const algorithm = version && readDer(version.rest)
  const oid = algorithm && readDer(algorithm.content)
  const curve = oid && readDer(oid.rest)
  const kind = KIND_BY_OID[hex(oid?.content)] ?? KIND_BY_OID[hex(curve?.content)]
  if (kind !== 'RSA' || algorithm === undefined) return kind === undefined ? undefined : { kind }

  const key = readDer(algorithm.rest)
  const sequence = key && readDer(key.content)
  const keyVersion = sequence && readDer(sequence.content)
  const modulus = keyVersion && readDer(keyVersion.rest)
  if (modulus === undefined) return undefined
  // An INTEGER with its top bit set has a zero byte before it.
  return { kind, rsaBits: (modulus.content.length - (modulus.content[0] === 0 ? 1 : 0)) * 8 }
}
