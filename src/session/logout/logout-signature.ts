import type { CompactJWSHeaderParameters, CryptoKey, FlattenedJWSInput, JWK } from 'jose'
import type { PublishedKeys } from '../../oauth/index.ts'
import type { LogoutFault } from './logout-token.ts'

type Keys = Awaited<ReturnType<PublishedKeys['current']>>
type KeyOf = (header: CompactJWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>

/** Looks at the signature of a token; nothing where it is one of the server's. */
export type SignatureCheck = (text: string, algs: readonly string[]) => Promise<LogoutFault | undefined>

/** Why no key is the one: unknown, or more than one where the token does not say which. */
const NO_KEY: ReadonlySet<unknown> = new Set(['ERR_JWKS_NO_MATCHING_KEY', 'ERR_JWKS_MULTIPLE_MATCHING_KEYS'])

/**
 * Verifies with the keys that the server publishes: one signature for each token. A key that is not among them is a reason to ask the server once more, but not for
 * each token.
 *
 * @throws What keys that could not be had threw.
 */
export function createSignatureCheck(published: PublishedKeys): SignatureCheck {
  let imported: { readonly keys: Keys; readonly keyOf: KeyOf } | undefined

  async function keyIn(keys: Keys): Promise<KeyOf> {
    if (imported?.keys === keys) return imported.keyOf
    const { createLocalJWKSet } = await import('jose')
    // Each key is looked at when it is needed; one that is none then matches nothing.
    const keyOf = createLocalJWKSet({ keys: [...keys] as unknown as JWK[] })
    imported = { keys, keyOf }
    return keyOf
  }
  return async (text, algs) => {
    const current = await published.current()
    const first = await verified(text, algs, await keyIn(current))
    if (first !== 'kid') return first
    const newer = await published.renewed(current)
    return newer === undefined ? first : verified(text, algs, await keyIn(newer))
  }
}

async function verified(text: string, algs: readonly string[], keyOf: KeyOf): Promise<LogoutFault | undefined> {
  const { compactVerify } = await import('jose')
  try {
    await compactVerify(text, keyOf, { algorithms: [...algs] })
    return undefined
  } catch (error) {
    return NO_KEY.has(Object(error).code) ? 'kid' : 'signature'
  }
}
