import { SignJWT } from 'jose'
import { createTestKey, type TestKey } from './keys.ts'

/** A client's backend that attests its instances. */
export interface Attester {
  /** What a server has to know it by. */
  readonly key: TestKey
  /** Every attestation that was asked for. */
  readonly asked: { readonly clientId: string; readonly issuer: string; readonly publicJwk: object }[]
  readonly attest: (request: {
    readonly clientId: string
    readonly issuer: string
    readonly publicJwk: object
  }) => Promise<string>
}

/** Makes an attester; `lifetimeSeconds` counts from the time that `now` tells. */
export async function createAttester({
  lifetimeSeconds = 3600,
  now = () => Date.now(),
}: {
  readonly lifetimeSeconds?: number
  readonly now?: () => number
} = {}): Promise<Attester> {
  const key = await createTestKey('ES256', 'attester')
  const asked: Attester['asked'] = []
  return {
    key,
    asked,
    async attest({ clientId, issuer, publicJwk }) {
      asked.push({ clientId, issuer, publicJwk })
      const iat = Math.floor(now() / 1000)
      return new SignJWT({ cnf: { jwk: publicJwk } })
        .setProtectedHeader({ alg: 'ES256', typ: 'oauth-client-attestation+jwt', kid: key.kid })
        .setSubject(clientId)
        .setIssuedAt(iat)
        .setExpirationTime(iat + lifetimeSeconds)
        .sign(key.keyObject)
    },
  }
}
