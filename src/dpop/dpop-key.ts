import {
  ALGORITHMS,
  chooseAlg,
  isSigner,
  jwkThumbprint,
  type PrivateKey,
  prepareKey,
  publicMembers,
  type Signer,
  sortOfJwk,
} from '../keys/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { base64url, describe, lazy } from '../util/index.ts'

/** A key that signs proofs. */
export interface DPoPKey {
  readonly signer: Signer
  /** RFC 7638 thumbprint, which tokens carry in `cnf.jkt` (RFC 9449 section 6.1). */
  readonly jkt: string
  /** The header of its proofs, encoded: it is the same for all of them. */
  readonly header: string
}

/** A key that has been checked; it is made ready when it is first used. */
export type LoadDPoPKey = () => Promise<DPoPKey>

/**
 * Checks a key for proofs now, and makes it ready once, when it is first used.
 *
 * @throws ConfigurationError with code `key_invalid`, which tells what kind of key came and never the key.
 */
export function prepareDPoPKey(key: PrivateKey): LoadDPoPKey {
  if (isSigner(key)) assertSigner(key)
  const prepared = prepareKey(key)
  if (!prepared.hasPublicPart) {
    throw keyInvalid('a key pair or an extractable key', 'a private key whose public part is out of reach')
  }
  return lazy(async () => dpopKeyOf(await prepared.load()))
}

async function dpopKeyOf(signer: Signer): Promise<DPoPKey> {
  // Public members only, whatever else a signer may carry there (RFC 9449 section 4.2).
  const jwk = publicMembers(signer.publicJwk)
  const header = base64url(JSON.stringify({ typ: 'dpop+jwt', alg: signer.alg, jwk }))
  return { signer, jkt: await jwkThumbprint(jwk), header }
}

/** A signer of somebody else's is taken by its word, as far as it fits together. */
function assertSigner({ alg, publicJwk }: Signer): void {
  const algorithm = ALGORITHMS.get(alg)
  if (algorithm === undefined) {
    throw keyInvalid(`a signer for an algorithm out of ${[...ALGORITHMS.keys()].join(', ')}`, 'one for another')
  }
  const jwk: Readonly<Record<string, unknown>> = Object(publicJwk)
  const sort = sortOfJwk(jwk)
  if (sort === undefined) throw keyInvalid(`a signer with a public ${algorithm.kind} JWK`, describe(publicJwk))
  chooseAlg(sort, alg)
  for (const [member, value] of Object.entries(publicMembers(jwk))) {
    if (typeof value === 'string' && value !== '') continue
    throw keyInvalid(`a signer whose public JWK has "${member}"`, `${describe(value)} in its place`)
  }
}

function keyInvalid(expected: string, came: string): ConfigurationError {
  return new ConfigurationError(`expected ${expected}, got ${came}`, { code: 'key_invalid' })
}
