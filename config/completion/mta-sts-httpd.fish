# Completion of mta-sts-httpd for fish. Commands and options are taken from the help of the program
# that is completed, so that they are always its own; domains from its configuration, if it can be read.

# The commands with their summaries.
function __mta_sts_httpd_commands -a program
    command $program --help 2>/dev/null |
        string replace -rf '^  ([a-z]+) +(?:\[?[A-Z][^ ]* +)?(.*)$' '$1\t$2'
    printf 'help\tprint how a command is used\n'
end

# What the command takes: option, the kind of its value, and what it means; or "operands" and theirs.
function __mta_sts_httpd_takes -a program name
    set -l help (command $program $name --help 2>/dev/null)
    set -l option '( ([A-Z]+))? +(.*)$'
    printf '%s\n' $help | string replace -rf "^  (?:-., |    )(--[-a-z]+)$option" '$1\t$3\t$4'
    printf '%s\n' $help | string replace -rf "^  (-.), --[-a-z]+$option" '$1\t$3\t$4'
    printf '%s\n' $help | string replace -rf '^Usage: .* \[OPTION\.\.\.\] (.+)$' 'operands\t$1\t'
end

# What is of the kind and may begin with the word, each behind the prefix.
function __mta_sts_httpd_values -a program kind prefix word config
    set -l values
    switch $kind
        case FORMAT
            set values zone nsupdate json
        case COLUMN
            set values domain state mode max_age id expires
        case STATE
            set values served stale refused no-certificate
        case '*FILE*' PATH
            set values (__fish_complete_path "$word")
        case '*DOMAIN*'
            set -l options
            test -n "$config"; and set options -c $config
            set values (timeout 2 $program list $options "$word*" 2>/dev/null |
                string replace -rf '^([^ ]+\.[^ ]+) .*' '$1')
    end
    for value in $values
        printf '%s\n' "$prefix$value"
    end
end

function __mta_sts_httpd_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l program $words[1]
    if test (count $words) -eq 1; or test "$words[2..]" = help
        __mta_sts_httpd_commands $program
        string match -q -- '-*' $word; and printf '%s\n' --help --version
        return
    end

    set -l config
    for i in (seq 3 (count $words))
        contains -- $words[$i] -c --config; and set config $words[(math $i + 1)]
        string match -q -- '--config=*' $words[$i]; and set config (string replace -- --config= '' $words[$i])
    end
    # What is in front of the value, as in "--format=json" and "example.com=FILE".
    set -l before $words[-1]
    set -l prefix (string match -r '^[^=]*=' -- $word)
    set word (string replace -r '^[^=]*=' '' -- $word)
    string match -q -- '-*' "$prefix"; and set before (string trim -c = -- $prefix)
    set -l takes (__mta_sts_httpd_takes $program $words[2])
    for line in $takes
        set -l fields (string split \t -- $line)
        if contains -- $before $fields[1]; and string length -q -- $fields[2]
            __mta_sts_httpd_values $program $fields[2] "$prefix" "$word" $config
            return
        end
    end
    for line in $takes
        set -l fields (string split \t -- $line)
        if not contains -- operands $fields[1]
            string match -q -- '-*' $word; and printf '%s\t%s\n' $fields[1] $fields[3]
        else if not string match -q -- '-*' $word
            __mta_sts_httpd_values $program $fields[2] "$prefix" "$word" $config
        end
    end
end

complete -c mta-sts-httpd -f -a '(__mta_sts_httpd_complete)'
