import { CompactEncrypt, compactDecrypt } from 'jose'
import type { NamedKeys } from '../../store/index.ts'
import type { CookieFault } from '../../telemetry/index.ts'
import { base64url, byteLength, canonicalText, fromBase64url } from '../../util/index.ts'
import type { CookieRingKey } from './cookie-keys.ts'
import { MAX_CHUNKS } from './cookie-lines.ts'

/** What stands in a cookie before what is encrypted, for everybody to read, and is authenticated with it (RFC 7516 section 4). */
export interface CookieHeader {
  readonly kid: string
  /** Names the session. */
  readonly sid: string
  /** Over how many cookies it is spread. */
  readonly parts: number
}

const VERSION = 1
/** Nothing is negotiated: another algorithm is another version. */
const FIXED = { alg: 'dir', enc: 'A256GCM', v: VERSION } as const
const MEMBERS = 'alg,enc,v,kid,sid,parts'
/** Longer than one that is written here can be. */
const MAX_HEADER = 320
const SESSION_ID = /^[\w-]{22,64}$/
/** Initialization vector and tag in base64url, the empty encrypted key, and the dots (RFC 7516 section 7.1). */
const FRAME = 16 + 22 + 4

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** How long the JWE of a text is. */
export function sealedLength(header: CookieHeader, text: string): number {
  return base64Length(byteLength(headerText(header))) + base64Length(byteLength(text)) + FRAME
}

/** Encrypts a text as a compact JWE, with a key that no other session has. */
export async function seal(
  key: CookieRingKey,
  header: CookieHeader,
  { text, name }: { readonly text: string; readonly name: string },
): Promise<string> {
  return new CompactEncrypt(encoder.encode(text))
    .setProtectedHeader({ ...FIXED, ...header })
    .encrypt(await key.keyOf(header.sid, purposeOf(name)))
}

/** The header of a JWE, not authenticated yet; or why there is none. Bounded work, and no secret is used. */
export function headerOf(jwe: string): CookieHeader | CookieFault {
  const end = jwe.indexOf('.')
  const bytes = end > MAX_HEADER ? undefined : fromBase64url(jwe.slice(0, Math.max(end, 0)))
  if (bytes === undefined) return 'malformed'
  let members: Record<string, unknown>
  try {
    members = Object(JSON.parse(decoder.decode(bytes)))
  } catch {
    return 'malformed'
  }
  const { alg, enc, v, kid, sid, parts } = members
  if (Number.isSafeInteger(v) && v !== VERSION) return 'unknown_version'
  // Whatever else may stand in a header (`zip`, `crit`, `p2c`) is not looked at, because none of it is written here.
  const isOurs = Object.keys(members).join() === MEMBERS && alg === FIXED.alg && enc === FIXED.enc && v === VERSION
  if (!isOurs || typeof kid !== 'string' || typeof sid !== 'string' || !SESSION_ID.test(sid)) return 'malformed'
  if (typeof parts !== 'number' || !Number.isInteger(parts) || parts < 1 || parts > MAX_CHUNKS) return 'malformed'
  return { kid, sid, parts }
}

/** The text in a JWE whose header was read; or why there is none. */
export async function open(
  ring: NamedKeys<CookieRingKey>,
  { kid, sid }: CookieHeader,
  { jwe, name }: { readonly jwe: string; readonly name: string },
): Promise<{ readonly text: string } | CookieFault> {
  const key = ring.find(kid)
  if (key === undefined) return 'unknown_key'
  if (!isCanonical(jwe)) return 'malformed'
  try {
    const { plaintext } = await compactDecrypt(jwe, await key.keyOf(sid, purposeOf(name)), {
      keyManagementAlgorithms: [FIXED.alg],
      contentEncryptionAlgorithms: [FIXED.enc],
      maxDecompressedLength: 0,
    })
    return { text: decoder.decode(plaintext) }
  } catch {
    // All that an AEAD says, and all that may be told.
    return 'not_authentic'
  }
}

/** A cookie that is copied to another name does not decrypt. */
function purposeOf(name: string): string {
  return canonicalText(['evertoken', 'cookie-session', VERSION, name])
}

/** Whether every part is the one text that stands for its bytes: the last character of another one may differ in bits that are not read. */
function isCanonical(jwe: string): boolean {
  const parts = jwe.split('.', 6)
  return (
    parts.length === 5 &&
    parts.every((part) => {
      const bytes = fromBase64url(part)
      return bytes !== undefined && base64url(bytes) === part
    })
  )
}

function headerText(header: CookieHeader): string {
  return JSON.stringify({ ...FIXED, ...header })
}

function base64Length(bytes: number): number {
  return Math.ceil((bytes * 4) / 3)
}
