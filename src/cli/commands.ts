import type { Command } from './command.ts'
import { keysAssertion } from './keys-assertion.ts'
import { keysGenerate } from './keys-generate.ts'
import { keysJwks } from './keys-jwks.ts'
import { keysThumbprint } from './keys-thumbprint.ts'

/** The commands of the program, in the order of its help. */
export const COMMANDS: readonly Command[] = [keysGenerate, keysJwks, keysThumbprint, keysAssertion]
