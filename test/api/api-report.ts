import { mkdirSync, readFileSync } from 'node:fs'
import { CompilerState, Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor'
import { root } from '../support/manifest.ts'

/** A file of declarations, and the name of its report. */
export interface Declarations {
  readonly name: string
  readonly types: string
}

/** What an entry point promises, as text that a reviewer can read, and what is wrong with its comments. */
export interface ApiReport {
  readonly text: string
  readonly faults: readonly string[]
}

const folder = `${root}build/api`
const UNDOCUMENTED_EXPORT = /^\/\/ @\w+(?: .*)?\(undocumented\)\n(export .*)$/gm

/** Reports on several files of declarations, with one look at the program that they share. */
export function apiReports(declarations: readonly Declarations[]): ReadonlyMap<string, ApiReport> {
  mkdirSync(`${folder}/temp`, { recursive: true })
  const all = declarations.map((one) => configurationOf(one, declarations))
  const [first] = all
  if (first === undefined) return new Map()
  const compilerState = CompilerState.create(first, {
    additionalEntryPoints: all.slice(1).map(({ mainEntryPointFilePath }) => mainEntryPointFilePath),
  })
  return new Map(all.map((config, index) => [declarations[index]?.name ?? '', report(config, compilerState)]))
}

function report(config: ExtractorConfig, compilerState: CompilerState): ApiReport {
  const faults: string[] = []
  Extractor.invoke(config, {
    localBuild: true,
    compilerState,
    messageCallback(message) {
      if (message.logLevel === ExtractorLogLevel.Error)
        faults.push(`${message.sourceFilePath ?? ''}:${message.sourceFileLine ?? 0} ${message.text}`)
      message.handled = true
    },
  })
  const text = readFileSync(config.reportFilePath, 'utf8')
  const undocumented = [...text.matchAll(UNDOCUMENTED_EXPORT)].map(([, line]) => `no TSDoc: ${line}`)
  return { text, faults: [...faults, ...undocumented] }
}

function configurationOf({ name, types }: Declarations, all: readonly Declarations[]): ExtractorConfig {
  return ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: `${root}package.json`,
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: types,
      newlineKind: 'lf',
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            target: 'es2022',
            module: 'nodenext',
            lib: ['es2023', 'webworker', 'webworker.iterable'],
            types: ['node'],
            strict: true,
            skipLibCheck: true,
          },
          files: all.map((one) => one.types),
        },
      },
      apiReport: {
        enabled: true,
        reportFolder: folder,
        reportTempFolder: `${folder}/temp`,
        reportFileName: name,
        includeForgottenExports: true,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.Error },
          // Everything that an index exports is public; a tag on each would say nothing.
          'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None },
          // The report shows both in their place; a member whose type says it all needs no comment.
          'ae-undocumented': { logLevel: ExtractorLogLevel.None },
          'ae-forgotten-export': { logLevel: ExtractorLogLevel.None },
        },
      },
    },
  })
}
