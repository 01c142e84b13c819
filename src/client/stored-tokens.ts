import { parseStoredToken } from '../source/index.ts'
import type { TokenStore } from '../store/index.ts'
import type { AccessToken } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
import type { ClientDefinition } from './client-definition.ts'
import type { ClientDPoP } from './client-dpop.ts'
import { storeKey } from './effective-request.ts'

/** The tokens of one client in the shared store. */
export interface StoredTokens {
  readonly store: TokenStore
  readonly definition: ClientDefinition
  readonly dpop: ClientDPoP | undefined
  readonly clock: Clock
}

/** Deletes a token from the store, and gives what was found there where the memory of this process had none. */
export async function deleteStored(
  { store, definition, dpop, clock }: StoredTokens,
  shape: string,
  held: AccessToken | undefined,
): Promise<AccessToken | undefined> {
  let found = held
  for (const jkt of await keysOf(dpop, held)) {
    const name = await storeKey(definition, shape, jkt)
    found ??= parseStoredToken(await store.get(name), clock.now())
    await store.delete(name)
  }
  return found
}

/** By the key that the token is bound to, by the one that others may have bound theirs to since, and by those before. */
async function keysOf(
  dpop: ClientDPoP | undefined,
  held: AccessToken | undefined,
): Promise<ReadonlySet<string | undefined>> {
  if (dpop === undefined) return new Set([undefined])
  const { jkt } = await dpop.keys.current()
  return new Set([...(held?.jkt === undefined ? [] : [held.jkt]), jkt, ...dpop.keys.thumbprints()])
}
