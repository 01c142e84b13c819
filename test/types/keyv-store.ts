// Compiled, never run: what a store on Keyv has to be told.

import { type KeyvInstance, keyvStore } from 'evertoken/stores/keyv'
import type { Keyv as Keyv5 } from 'keyv'
import type { Keyv as Keyv6 } from '../support/keyv-6/index.ts'

declare const keyv: Keyv5
declare const encryption: { keys: { id: string; key: Uint8Array }[] }

keyvStore(keyv, { encryption })
keyvStore(keyv, { plaintext: true, prefix: 'app:' })
// @ts-expect-error whether values are encrypted has to be said
keyvStore(keyv, { prefix: 'app:' })
// @ts-expect-error it cannot be both
keyvStore(keyv, { encryption, plaintext: true })
// @ts-expect-error "not in clear" does not say how
keyvStore(keyv, { plaintext: false })
// @ts-expect-error a map is no Keyv
keyvStore(new Map(), { encryption })

declare const keyvs: readonly [Keyv5, Keyv5<string>, Keyv6, Keyv6<string>]
const each: readonly KeyvInstance[] = keyvs
void each
