/** What a template says about one of its variables. */
export interface TemplateVariable {
  name: string;
  description: string;
  /** Null: a server without a value of its own has none. */
  default: string | null;
  required: boolean;
  /** False: only administrators may set it. */
  userEditable: boolean;
  rules: string | string[];
}

export type ConfigValue = string | number | boolean;

/** The columns of a template of which the database does not know the shape. */
export interface TemplateColumns {
  startCommand: string | string[];
  stopSignal: 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2' | 'SIGKILL' | null;
  /** Name → image. */
  images: Record<string, string>;
  ports: { internal: number; external: number }[];
  environment: Record<string, string>;
  variables: TemplateVariable[];
  features: Record<string, unknown>;
  configFiles: {
    path: string;
    parser: 'file' | 'properties' | 'ini' | 'yaml' | 'json' | 'xml';
    values: Record<string, ConfigValue | Record<string, ConfigValue>>;
  }[];
}

type StoredTemplate<Row> = Omit<Row, keyof TemplateColumns> &
  Pick<TemplateColumns, keyof Row & keyof TemplateColumns>;

/** A row of the table of templates, or some of its columns. They were checked before they were written. */
export function readTemplate<Row extends object>(row: Row): StoredTemplate<Row> {
  return row as unknown as StoredTemplate<Row>;
}
