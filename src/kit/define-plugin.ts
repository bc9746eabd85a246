import type { DocumentedOperation, Operation } from './api.ts';
import type { ContentHandler } from './content-handler.ts';
import type { BuiltInRole, Resource } from './define-resource.ts';
import type { TaskDefinition } from './define-task.ts';
import type { Condition, Scope } from './policy.ts';
import type { FastPath, RegisterRoutes } from './routes.ts';
import type { Services } from './services.ts';
import type { SigningClass } from './signing-class.ts';
import type { UnitFiles } from './unit-files.ts';
import type { UnitTable } from './unit-table.ts';

/** A plugin in one declaration: its table of contents. */
export interface Plugin {
  /** As `/status/` names it: `container`. */
  readonly component: string;
  /** The release of Pulp's component whose API this is; pulp-cli checks it. */
  readonly compatibleWith: string;
  /** Names of Pulp's package and module, for `/status/`. */
  readonly package: string;
  readonly module: string;
  readonly resources: readonly Resource[];
  readonly tasks: readonly TaskDefinition[];
  /** Conditions and scopes that policies name, by name. */
  readonly conditions?: Readonly<Record<string, Condition>>;
  readonly scopes?: Readonly<Record<string, Scope>>;
  /** Built-in roles, by name, of what is no resource here. Permissions are spelt out. */
  readonly roles?: Readonly<Record<string, BuiltInRole>>;
  /** Kinds of signing services beside that of core. */
  readonly signingClasses?: readonly SigningClass[];
  /** Its types of content, as upkeep needs them: each before those that its units need. */
  readonly units?: readonly UnitTable[];
  /** Gets the stored files of its units again, for repairs. */
  readonly files?: (services: Services) => UnitFiles;
  /** Removes what was begun and never finished; workers do so every minute or so. */
  readonly sweep?: (services: Services) => Promise<void>;
  /** Operations that are no resource: status, docs. */
  readonly operations?: readonly Operation[];
  /** Routes outside the REST API: the Registry API. */
  readonly routes?: RegisterRoutes;
  /** Those of them that the document of the REST API has. */
  readonly routed?: readonly DocumentedOperation[];
  /** Serves the files of its distributions below `/pulp/content/`. */
  readonly content?: ContentHandler;
  /** Answers the hottest requests before the framework sees them. */
  readonly fastPath?: (services: Services) => FastPath;
}

export const definePlugin = (plugin: Plugin): Plugin => plugin;
