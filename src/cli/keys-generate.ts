import { resolve } from 'node:path'
import { ALGORITHMS } from '../keys/index.ts'
import { assertAlg } from './arguments.ts'
import { type Command, type CommandContext, usageInvalid } from './command.ts'
import { jsonText, tell } from './messages.ts'
import { newKey } from './new-key.ts'
import { createPrivateFile, replacePrivateFile } from './private-file.ts'

const NAME = 'keys generate'
const DEFAULT_ALG = 'ES256'

/** `evertoken keys generate`: makes a signing key, and tells its public part. */
export const keysGenerate: Command = {
  name: NAME,
  summary: 'makes a signing key',
  usage: '(--out <file> | --stdout) [options]',
  details: [
    'The private key (PKCS #8, PEM) goes into a file that its owner alone can read;',
    'the public key (JWK), which is registered at the authorization server, to standard output.',
  ],
  operands: [0, 0],
  options: [
    { name: 'out', value: 'file', summary: 'where the private key goes; an existing file is refused' },
    { name: 'force', summary: 'replaces an existing file' },
    { name: 'stdout', summary: 'prints the private key, and the public key to standard error' },
    { name: 'alg', value: 'alg', summary: `${[...ALGORITHMS.keys()].join(', ')}; default ${DEFAULT_ALG}` },
    { name: 'kid', value: 'id', summary: 'key ID; default: the thumbprint of the key (RFC 7638)' },
  ],
  async run(context) {
    const { options } = context.args
    const alg = options.get('alg') ?? DEFAULT_ALG
    assertAlg(NAME, alg)
    const out = targetOf(options)
    const { privatePem, publicJwk } = await newKey(alg, options.get('kid'))
    // A user who has stopped the program meanwhile expects no file.
    context.signal.throwIfAborted()
    const publicText = jsonText(publicJwk)
    if (out === undefined) return print(privatePem, publicText, context)
    const file = { subject: NAME, path: resolve(context.cwd, out), text: privatePem }
    if (options.has('force')) replacePrivateFile(file)
    else createPrivateFile(file)
    context.stdout.write(publicText)
  },
}

/** The file, or nothing for standard output. */
function targetOf(options: CommandContext['args']['options']): string | undefined {
  const out = options.get('out')
  const toStdout = options.has('stdout')
  // A redirected private key would lie in a file that others can read, so that printing it takes a word of its own.
  if (out === undefined && !toStdout) throw usageInvalid(NAME, '--out <file>, or --stdout', 'neither')
  if (out !== undefined && toStdout) throw usageInvalid(NAME, 'either --out <file> or --stdout', 'both')
  if (options.has('force') && toStdout) throw usageInvalid(NAME, '--force with --out <file>', '--stdout')
  return out
}

function print(privatePem: string, publicText: string, { stdout, stderr }: CommandContext): void {
  if (stdout.isTerminal) tell(stderr, 'a private key is shown on this terminal, and may stay in its history')
  stderr.write(publicText)
  stdout.write(privatePem)
}
