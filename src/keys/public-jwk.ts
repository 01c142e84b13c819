import type { JsonWebKey } from './private-key.ts'
import type { Signer } from './signer.ts'

/** The public members of a key and no others, in the order of RFC 7638 section 3.2's table (RFC 7518 section 6, RFC 8037 section 2). */
export function publicMembers(jwk: object): Signer['publicJwk'] {
  const { kty, crv, x, y, n, e } = jwk as Record<string, unknown>
  return Object.freeze(kty === 'RSA' ? { kty, n, e } : kty === 'OKP' ? { kty, crv, x } : { kty, crv, x, y })
}

/** The public key of a signer as it is registered or published (RFC 7517 section 4): with `kid`, `alg` and `use`. */
export function publicJwkOf({ publicJwk, kid, alg }: Pick<Signer, 'publicJwk' | 'kid' | 'alg'>): JsonWebKey {
  return { ...publicMembers(publicJwk), ...(kid !== undefined && { kid }), alg, use: 'sig' } as JsonWebKey
}

/** The SHA-256 thumbprint of a key (RFC 7638), which private and public part have in common. */
export async function jwkThumbprint(jwk: JsonWebKey | Signer['publicJwk']): Promise<string> {
  const { calculateJwkThumbprint } = await import('jose/jwk/thumbprint')
  return calculateJwkThumbprint(jwk as Parameters<typeof calculateJwkThumbprint>[0])
}
