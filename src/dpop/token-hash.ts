import { nodeCrypto } from '../keys/index.ts'
import type { AccessToken } from '../token/index.ts'
import { type Awaitable, sha256 } from '../util/index.ts'

interface Hashed {
  readonly text: string
  readonly hash: Awaitable<string>
}

/** By the token itself, so that what is kept goes when the token goes; with its text, since a source of somebody else's may change it. */
const hashes = /* @__PURE__ */ new WeakMap<AccessToken, Hashed>()

/** `ath`: SHA-256 of an access token in base64url (RFC 9449 section 4.2), worked out once for each token. */
export function athOf(token: AccessToken): Awaitable<string> {
  const text = token.accessToken
  const known = hashes.get(token)
  if (known?.text === text) return known.hash
  const hash = hashOf(text)
  hashes.set(token, { text, hash })
  if (typeof hash !== 'string') void hash.then((done) => hashes.set(token, { text, hash: done }))
  return hash
}

/** SHA-256 of a text in base64url: at once on Node. */
export function hashOf(text: string): Awaitable<string> {
  return nodeCrypto()?.createHash('sha256').update(text).digest('base64url') ?? sha256(text)
}
