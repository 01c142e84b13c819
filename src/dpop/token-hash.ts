import { nodeCrypto } from '../keys/index.ts'
import type { AccessToken } from '../token/index.ts'
import { type Awaitable, sha256 } from '../util/index.ts'

/** By the token itself, so that what is kept goes when the token goes. */
const hashes = /* @__PURE__ */ new WeakMap<AccessToken, Awaitable<string>>()

/** `ath`: SHA-256 of an access token in base64url (RFC 9449 section 4.2), worked out once for each token. */
export function athOf(token: AccessToken): Awaitable<string> {
  const known = hashes.get(token)
  if (known !== undefined) return known
  const hash = hashOf(token.accessToken)
  hashes.set(token, hash)
  if (typeof hash !== 'string') hash.then((done) => hashes.set(token, done)).then(undefined, () => hashes.delete(token))
  return hash
}

/** SHA-256 of a text in base64url: at once on Node. */
export function hashOf(text: string): Awaitable<string> {
  return nodeCrypto()?.createHash('sha256').update(text).digest('base64url') ?? sha256(text)
}
